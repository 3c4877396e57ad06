// Publishes one event, with nothing but the standard library. Usage: go run publish.go SESSION DATA [TYPE]
//
// WEIR_URL says where weir is, and WEIR_TOKEN holds the token, where one is needed.
package main

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	mathrand "math/rand"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
)

// After five minutes weir forgets the key, and a repeat could be published twice.
const giveUp = 4 * time.Minute

// A redirection that is followed makes a GET of a POST.
var client = http.Client{
	Timeout:       15 * time.Second,
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// Publish publishes an event once, however often it has to be asked for, and returns its id.
func Publish(session, data, kind string) (string, error) {
	base := os.Getenv("WEIR_URL")
	if base == "" {
		base = "http://127.0.0.1:8080"
	}
	target := base + "/v1/sessions/" + url.PathEscape(session) + "/events"
	if kind != "" {
		target += "?type=" + url.QueryEscape(kind)
	}
	// One key for all tries: so an event whose answer was lost is not published twice.
	key := make([]byte, 16)
	if _, err := rand.Read(key); err != nil {
		return "", err
	}
	for end, pause := time.Now().Add(giveUp), 250*time.Millisecond; ; pause = least(2*pause, 10*time.Second) {
		id, asked, final, err := try(target, data, hex.EncodeToString(key))
		if err == nil || final {
			return id, err
		}
		wait := time.Duration(float64(most(pause, asked)) * (1 + 0.2*mathrand.Float64()))
		if time.Now().Add(wait).After(end) {
			return "", fmt.Errorf("nobody knows whether it is published: %w", err)
		}
		fmt.Fprintf(os.Stderr, "not published yet: %v; again in %.1f s\n", err, wait.Seconds())
		time.Sleep(wait)
	}
}

// try says besides how long weir wants to be left alone, and whether a repeat would be answered alike.
func try(target, data, key string) (id string, asked time.Duration, final bool, err error) {
	request, err := http.NewRequest("POST", target, strings.NewReader(data))
	if err != nil {
		return "", 0, true, err
	}
	request.Header.Set("Idempotency-Key", key)
	request.Header.Set("Content-Type", "text/plain; charset=utf-8")
	// Without line ends, which no header may have.
	if token := strings.Join(strings.Fields(os.Getenv("WEIR_TOKEN")), ""); token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	answer, err := client.Do(request)
	if err != nil {
		return "", 0, false, err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		return "", 0, false, err
	}
	if answer.StatusCode == http.StatusCreated {
		var published struct{ ID string }
		err = json.Unmarshal(body, &published)
		return published.ID, 0, false, err
	}
	seconds, _ := strconv.Atoi(answer.Header.Get("Retry-After"))
	again := answer.StatusCode >= 500 || answer.StatusCode == 408 || answer.StatusCode == 425 || answer.StatusCode == 429
	return "", time.Duration(seconds) * time.Second, !again, fmt.Errorf("%s: %s", answer.Status, body)
}

func least(a, b time.Duration) time.Duration {
	if a < b {
		return a
	}
	return b
}

func most(a, b time.Duration) time.Duration {
	return a + b - least(a, b)
}

func main() {
	mathrand.Seed(time.Now().UnixNano())
	arguments := append(os.Args[1:], "")
	if len(arguments) < 3 {
		fmt.Fprintln(os.Stderr, "usage: publish.go SESSION DATA [TYPE]")
		os.Exit(2)
	}
	id, err := Publish(arguments[0], arguments[1], arguments[2])
	if err != nil {
		fmt.Fprintln(os.Stderr, "not published:", err)
		os.Exit(1)
	}
	fmt.Println(id)
}
