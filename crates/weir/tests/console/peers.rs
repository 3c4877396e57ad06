//! What an instance sees of the others through Redis.

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use weir_testkit::redis::RedisServer;
use weir_testkit::{DEADLINE, Instance, Signal, eventually};

use crate::watch::{WEIR, news, told, until, watch};

const HASH: &str = "{weir:events}:instances";

async fn instance(redis: &RedisServer, name: &str) -> anyhow::Result<Instance> {
    let drain = ["--drain-delay", "0s", "--drain-window", "0s"];
    Instance::start(WEIR, &[&["--redis", &redis.url(), "--instance", name][..], &drain].concat()).await
}

fn age(news: &Value, instance: &str) -> u64 {
    told(news, instance).and_then(|told| told["ageMs"].as_u64()).unwrap_or(0)
}

#[tokio::test]
async fn all_are_seen_from_one() -> anyhow::Result<()> {
    let redis = RedisServer::start().await;
    let one = instance(&redis, "one").await?;
    let two = instance(&redis, "two").await?;
    let mut three = instance(&redis, "three").await?;
    // Nobody looks, so nobody tells.
    assert_eq!(redis.cli(&["EXISTS", HASH]).await, "0");

    let mut listener = two.client().subscribe("s").await?;
    one.client().publish("s", "hello").await?;
    listener.next_data(1).await?;
    let mut console = watch(&one).await?;
    let seen = until(&mut console, |news| {
        told(news, "two").is_some_and(|two| two["report"]["counts"]["delivered"] == 1)
            && told(news, "three").is_some()
    })
    .await?;
    assert!(told(&seen, "one").is_none(), "it is no peer of its own: {seen}");
    assert_eq!((&seen["peers"]["trouble"], &seen["peers"]["leftOut"]), (&Value::Null, &json!(0)));
    let report = &told(&seen, "two").context("two")?["report"];
    assert_eq!((&report["log"], &report["clients"]["sse"]), (&json!("redis"), &json!(1)));
    assert_eq!(report["busiest"][0]["sessions"], json!(["s"]));

    // One that drains says so.
    two.admin_client().post("/drain").header("weir-admin", "1").send().await?;
    until(&mut console, |news| told(news, "two").is_some_and(|two| two["report"]["stage"] == "refusing"))
        .await?;

    // One that is killed says nothing more, and is shown for a while as one that is silent.
    three.signal(Signal::KILL)?;
    three.wait_exit(DEADLINE).await?;
    let silent = until(&mut console, |news| age(news, "three") > 4_000).await?;
    assert!(age(&silent, "two") < 4_000, "{silent}");
    // As if a minute had passed.
    let id = told(&silent, "three").and_then(|told| told["id"].as_str()).context("an id")?;
    redis.cli(&["HSET", HASH, id, "1 {}"]).await;
    until(&mut console, |news| told(news, "three").is_none() && told(news, "two").is_some()).await?;

    // Whoever nobody looks at any more takes back what it told.
    drop(console);
    eventually(DEADLINE, async || {
        redis.cli(&["DEL", &format!("{HASH}:watched")]).await;
        ensure!(redis.cli(&["HLEN", HASH]).await == "0", "something is told");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn without_redis_it_goes_on_alone() -> anyhow::Result<()> {
    let mut redis = RedisServer::start().await;
    let one = instance(&redis, "one").await?;
    let _two = instance(&redis, "two").await?;
    let mut console = watch(&one).await?;
    until(&mut console, |news| told(news, "two").is_some()).await?;
    redis.stop();
    let alone = until(&mut console, |news| news["peers"]["trouble"].is_string()).await?;
    // What was seen last is still there, and grows old.
    let before = age(&alone, "two");
    let later = until(&mut console, |news| age(news, "two") > before + 2_000).await?;
    assert!(later["own"]["uptimeMs"].as_u64() > alone["own"]["uptimeMs"].as_u64());
    until(&mut console, |news| news["own"]["reader"]["up"] == false).await?;
    redis.restart().await;
    until(&mut console, |news| {
        news["peers"]["trouble"].is_null() && told(news, "two").is_some() && age(news, "two") < 3_000
    })
    .await?;
    Ok(())
}

/// Whoever may write to Redis may write anything there: what makes sense is shown, and the rest is not believed.
#[tokio::test]
async fn what_makes_no_sense_is_not_believed() -> anyhow::Result<()> {
    let redis = RedisServer::start().await;
    let one = instance(&redis, "one").await?;
    let mut console = watch(&one).await?;
    news(&mut console).await?;
    let newer = r#"{"form":1,"instance":"newer","colour":"red","clients":{"sse":3,"hats":[1]},"dropped":7}"#;
    let rows = format!("[{}]", vec![r#"{"sessions":["s","s","s","s","s"]}"#; 50].join(","));
    let greedy = format!(r#"{{"form":1,"instance":"greedy{}","slowest":{rows}}}"#, "y".repeat(1000));
    let write = async || {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_millis();
        for (id, report) in
            [("a", newer), ("b", &greedy), ("c", "<b>"), ("d", r#"{"form":9,"instance":"d"}"#)]
        {
            redis.cli(&["HSET", HASH, id, &format!("{now} {report}")]).await;
        }
        anyhow::Ok(())
    };
    write().await?;
    let seen =
        until(&mut console, |news| news["peers"]["told"].as_array().is_some_and(|told| told.len() == 4))
            .await?;
    let of = |nth: usize| &seen["peers"]["told"][nth]["report"];
    assert_eq!((&of(0)["clients"]["sse"], &of(0)["colour"]), (&json!(3), &Value::Null));
    assert_eq!((of(2), of(3)), (&Value::Null, &Value::Null));
    let greedy = of(1);
    assert_eq!(greedy["slowest"].as_array().map(Vec::len), Some(5));
    assert_eq!(greedy["slowest"][0]["sessions"].as_array().map(Vec::len), Some(3));
    assert_eq!(greedy["instance"].as_str().map(|name| name.chars().count()), Some(81));
    // It delivers as before.
    let mut client = one.client().subscribe("s").await?;
    one.client().publish("s", "x").await?;
    assert_eq!(client.next_data(1).await?, ["x"]);
    Ok(())
}
