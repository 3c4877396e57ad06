//! The way that clients take: through whatever stands between them and the instances.

use std::time::Duration;

use weir_client::stream::{Came, RawStream};
use weir_client::{Client, NewPublish, PublishError};

use super::super::amount;
use super::finding::Finding;
use super::report::Report;

/// Within this time whoever looks at a page should see the first bytes, and every event.
const AT_ONCE: Duration = Duration::from_secs(2);

/// Beyond the time of a heartbeat it is late.
const MARGIN: Duration = Duration::from_secs(5);

/// Where the stream does not say.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// Subscribes, publishes where that is allowed, and waits for a heartbeat.
///
/// # Errors
/// Nobody reads the report.
pub(super) async fn check(client: &Client, report: &mut Report) -> std::io::Result<()> {
    // Nobody else listens there.
    let session = format!("weir-doctor-{:016x}", fastrand::u64(..));
    let why = match client.raw_stream(&session).await {
        Ok(Some(stream)) if stream.status() == 200 => {
            return streams(client, stream, (&session, report)).await;
        }
        Ok(Some(stream)) => return report.tell(refused(&stream)).await,
        Ok(None) => "its answer does not begin".to_owned(),
        Err(error) => error.to_string(),
    };
    let finding = Finding::fail("through", format!("no stream from {}: {why}", client.url()));
    let advice = "see that the load balancer runs and reaches an instance, that it holds no answer back, and that --through is its address";
    report.tell(finding.advise(advice)).await
}

async fn streams(
    client: &Client,
    mut stream: RawStream,
    (session, report): (&str, &mut Report),
) -> std::io::Result<()> {
    report.tell(Finding::ok("through", format!("{} leads to an instance", client.url()))).await?;
    report.tell(headers(&stream)).await?;
    let first = first(&mut stream).await;
    let heartbeat = match &first {
        Ok((_, heartbeat)) => *heartbeat,
        Err(_) => HEARTBEAT,
    };
    let open = first.is_ok();
    report.tell(first.map_or_else(|finding| finding, |(finding, _)| finding)).await?;
    if open {
        report.tell(event(client, &mut stream, session).await).await?;
        report.tell(idle(&mut stream, heartbeat).await).await?;
    }
    Ok(())
}

fn refused(stream: &RawStream) -> Finding {
    let status = stream.status();
    let finding = Finding::fail("through", format!("a subscribe is answered {status}"));
    finding.advise(match status {
        401 | 403 => "give a token that may subscribe to weir-doctor-* with --token-file",
        404 => "have the load balancer hand on /v1/ as it is",
        400..500 => "see what the load balancer makes of the request",
        _ => "see that the load balancer reaches an instance that is ready",
    })
}

/// What a proxy may not change: whoever changes these holds events back, or has others do so.
fn headers(stream: &RawStream) -> Finding {
    if let Some(encoding) = stream.header("content-encoding") {
        return Finding::fail("headers", format!("the stream comes compressed ({encoding}): events wait until a block is full"))
            .advise("have the load balancer compress no text/event-stream (nginx: gzip_types, HAProxy: compression type)");
    }
    let kind = stream.header("content-type").unwrap_or("none");
    if kind != "text/event-stream" {
        return Finding::fail(
            "headers",
            format!("the content type is {kind}: browsers close such a stream for good"),
        )
        .advise("have the load balancer hand on the header Content-Type as it is");
    }
    let cache = stream.header("cache-control").unwrap_or("none");
    if !cache.contains("no-transform") {
        return Finding::warn(
            "headers",
            format!("Cache-Control is {cache}: caches and proxies further on may hold events back"),
        )
        .advise("have the load balancer hand on Cache-Control: no-cache, no-transform as it is");
    }
    Finding::ok("headers", "they come as weir sends them")
}

/// The first bytes, which weir sends at once, and the time of its heartbeats; else what is wrong.
async fn first(stream: &mut RawStream) -> Result<(Finding, Duration), Finding> {
    const BUFFERS: &str = "have the load balancer buffer no answers below /v1/ (nginx: proxy_buffering off, and no proxy_ignore_headers \
                           X-Accel-Buffering), see deploy/nginx/nginx.conf";
    match stream.wait("event: weir.", AT_ONCE).await {
        Came::After(_) => {}
        Came::Late => {
            let finding = format!("nothing came within {}, though weir sends at once", amount::time(AT_ONCE));
            return Err(Finding::fail("first-bytes", finding).advise(BUFFERS));
        }
        Came::Ended(after) => {
            let finding = format!("the stream ended after {} without an event", amount::time(after));
            return Err(Finding::fail("first-bytes", finding).advise("see that what answers there is weir"));
        }
    }
    // What cannot be read of it is as by default.
    stream.wait("\"heartbeat\":", AT_ONCE).await;
    stream.wait("}", AT_ONCE).await;
    let heartbeat = stream.before().parse().map_or(HEARTBEAT, Duration::from_millis);
    Ok((Finding::ok("first-bytes", "they come at once"), heartbeat))
}

/// An event on its way from a publisher to a client.
async fn event(client: &Client, stream: &mut RawStream, session: &str) -> Finding {
    let data = format!("weir-doctor-{:016x}", fastrand::u64(..));
    match client.publish(session, &NewPublish { data: data.clone(), ..NewPublish::default() }).await {
        Ok(_) => {}
        Err(PublishError::Refused(problem)) => {
            return Finding::unknown("event", format!("nothing may be published: {problem}"))
                .advise("give a token that may publish to weir-doctor-* with --token-file");
        }
        Err(error) => return Finding::fail("event", format!("nothing could be published: {error}")),
    }
    match stream.wait(&data, AT_ONCE).await {
        Came::After(after) => {
            Finding::ok("event", format!("one that was published came after {}", amount::time(after)))
        }
        Came::Late => {
            let finding = format!("one that was published did not come within {}", amount::time(AT_ONCE));
            Finding::fail("event", finding).advise(
                "have the load balancer buffer no answers below /v1/, and all instances behind it use one --redis and one --stream",
            )
        }
        Came::Ended(_) => Finding::fail("event", "the stream ended when one was published"),
    }
}

/// A stream on which nothing happens but heartbeats.
async fn idle(stream: &mut RawStream, heartbeat: Duration) -> Finding {
    match stream.wait("event: weir.ping", heartbeat + MARGIN).await {
        Came::After(after) => Finding::ok("idle", format!("a heartbeat came after {}", amount::time(after))),
        Came::Late => {
            let finding = format!("no heartbeat came within {}", amount::time(heartbeat + MARGIN));
            Finding::fail("idle", finding).advise("have the load balancer buffer no answers below /v1/")
        }
        Came::Ended(after) => {
            let finding = format!("the stream was closed after {} of silence", amount::time(after));
            Finding::fail("idle", finding).advise(
                "raise the idle timeout of the load balancer (nginx: proxy_read_timeout, HAProxy: timeout tunnel) above --heartbeat, or lower that",
            )
        }
    }
}
