// Publishes one event, with nothing but the JDK, 11 or later. Usage: java Publish.java SESSION DATA [TYPE]
//
// WEIR_URL says where weir is, and WEIR_TOKEN holds the token, where one is needed.

import java.io.IOException;
import java.net.URI;
import java.net.URLEncoder;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Set;
import java.util.UUID;
import java.util.concurrent.ThreadLocalRandom;
import java.util.regex.Pattern;

public final class Publish {
    /** After five minutes weir forgets the key, and a repeat could be published twice. */
    private static final Duration GIVE_UP = Duration.ofMinutes(4);

    private static final Set<Integer> AGAIN = Set.of(408, 425, 429);
    private static final Pattern ID = Pattern.compile("\"id\"\\s*:\\s*\"([^\"]+)\"");
    private static final HttpClient CLIENT =
            HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).connectTimeout(Duration.ofSeconds(10)).build();

    /** Publishes an event once, however often it has to be asked for, and returns its id. */
    public static String publish(String session, String data, String type) throws InterruptedException, IOException {
        String weir = System.getenv().getOrDefault("WEIR_URL", "http://127.0.0.1:8080");
        String query = type == null ? "" : "?type=" + encode(type);
        URI target = URI.create(weir + "/v1/sessions/" + encode(session) + "/events" + query);
        // One key for all tries: so an event whose answer was lost is not published twice.
        HttpRequest.Builder request = HttpRequest.newBuilder(target)
                .timeout(Duration.ofSeconds(15))
                .header("Idempotency-Key", UUID.randomUUID().toString())
                .header("Content-Type", "text/plain; charset=utf-8")
                .POST(HttpRequest.BodyPublishers.ofString(data));
        String token = System.getenv("WEIR_TOKEN");
        if (token != null) {
            // Without line ends and the like: they would be refused by an error that repeats the token.
            request.header("Authorization", "Bearer " + token.replaceAll("[^!-~]", ""));
        }

        long end = System.nanoTime() + GIVE_UP.toNanos();
        for (double pause = 0.25; ; pause = Math.min(2 * pause, 10)) {
            double asked = 0;
            String trouble;
            try {
                HttpResponse<String> answer = CLIENT.send(request.build(), HttpResponse.BodyHandlers.ofString());
                int status = answer.statusCode();
                var id = ID.matcher(answer.body());
                if (status == 201 && id.find()) {
                    return id.group(1);
                }
                trouble = "HTTP " + status + ": " + answer.body();
                if (status != 201 && status < 500 && !AGAIN.contains(status)) {
                    throw new IllegalArgumentException(trouble);
                }
                asked = answer.headers().firstValue("Retry-After").filter(text -> text.matches("\\d{1,6}"))
                        .map(Double::valueOf).orElse(0.0);
            } catch (IOException error) {
                // No answer, or half of one: it may be published or not.
                trouble = error.toString();
            }
            double wait = Math.max(pause, asked) * ThreadLocalRandom.current().nextDouble(1, 1.2);
            if (System.nanoTime() + wait * 1e9 > end) {
                throw new IOException("nobody knows whether it is published: " + trouble);
            }
            System.err.printf("not published yet: %s; again in %.1f s%n", trouble, wait);
            Thread.sleep((long) (wait * 1000));
        }
    }

    /** A form has `+` for a blank, and a path does not. */
    private static String encode(String text) {
        return URLEncoder.encode(text, StandardCharsets.UTF_8).replace("+", "%20");
    }

    public static void main(String[] arguments) throws InterruptedException {
        if (arguments.length < 2) {
            System.err.println("usage: Publish.java SESSION DATA [TYPE]");
            System.exit(2);
        }
        try {
            System.out.println(publish(arguments[0], arguments[1], arguments.length > 2 ? arguments[2] : null));
        } catch (IOException | IllegalArgumentException error) {
            System.err.println("not published: " + error.getMessage());
            System.exit(1);
        }
    }
}
