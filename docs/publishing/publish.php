<?php
// Publishes one event, with the extension curl. Usage: php publish.php SESSION DATA [TYPE]
//
// WEIR_URL says where weir is, and WEIR_TOKEN holds the token, where one is needed.

declare(strict_types=1);

// After five minutes weir forgets the key, and a repeat could be published twice.
const GIVE_UP = 240;

/** Publishes an event once, however often it has to be asked for, and returns its id. */
function publish(string $session, string $data, ?string $type = null): string
{
    $url = (getenv('WEIR_URL') ?: 'http://127.0.0.1:8080') . '/v1/sessions/' . rawurlencode($session) . '/events';
    if ($type !== null) {
        $url .= '?type=' . rawurlencode($type);
    }
    // One key for all tries: so an event whose answer was lost is not published twice.
    $headers = ['Idempotency-Key: ' . bin2hex(random_bytes(16)), 'Content-Type: text/plain; charset=utf-8'];
    // Without line ends, after which curl would send another header.
    if ($token = preg_replace('/[^!-~]/', '', getenv('WEIR_TOKEN') ?: '')) {
        $headers[] = "Authorization: Bearer $token";
    }

    $end = microtime(true) + GIVE_UP;
    for ($pause = 0.25; ; $pause = min(2 * $pause, 10)) {
        $asked = 0;
        $request = curl_init($url);
        curl_setopt_array($request, [
            CURLOPT_POSTFIELDS => $data,
            CURLOPT_HTTPHEADER => $headers,
            CURLOPT_RETURNTRANSFER => true,
            // A session may be called `..`.
            CURLOPT_PATH_AS_IS => true,
            CURLOPT_TIMEOUT => 15,
            CURLOPT_HEADERFUNCTION => function ($request, string $line) use (&$asked): int {
                if (preg_match('/^retry-after:\s*(\d+)/i', $line, $found)) {
                    $asked = (int) $found[1];
                }
                return strlen($line);
            },
        ]);
        $body = curl_exec($request);
        $status = curl_getinfo($request, CURLINFO_RESPONSE_CODE);
        $trouble = $body === false ? curl_error($request) : "HTTP $status: $body";
        // Where there was no answer, or half of one, it may be published or not.
        $answered = $body !== false;
        $id = $answered && $status === 201 ? json_decode($body)?->id : null;
        if ($id !== null) {
            return $id;
        }
        if ($answered && $status !== 201 && $status < 500 && !in_array($status, [408, 425, 429], true)) {
            throw new RuntimeException($trouble);
        }
        $wait = max($pause, $asked) * (1 + 0.2 * mt_rand() / mt_getrandmax());
        if (microtime(true) + $wait > $end) {
            throw new RuntimeException("nobody knows whether it is published: $trouble");
        }
        fprintf(STDERR, "not published yet: %s; again in %.1f s\n", $trouble, $wait);
        usleep((int) ($wait * 1e6));
    }
}

if ($argc < 3) {
    fwrite(STDERR, "usage: publish.php SESSION DATA [TYPE]\n");
    exit(2);
}
try {
    echo publish(...array_slice($argv, 1)), "\n";
} catch (RuntimeException $error) {
    fwrite(STDERR, "not published: {$error->getMessage()}\n");
    exit(1);
}
