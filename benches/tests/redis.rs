//! The publisher against a real Redis: what it counts as accepted stands in the stream.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use weir_benches::audience::{Audience, Plan};
use weir_benches::child::Running;
use weir_benches::load::{self, Schedule};
use weir_benches::poller::Poller;
use weir_benches::process::Cores;
use weir_benches::publisher::RedisPublisher;

const ENTRIES: u64 = 2_000;

fn ask(redis: SocketAddr, command: &str) -> String {
    let mut stream = TcpStream::connect(redis).expect("redis listens");
    stream.write_all(format!("{command}\r\n").as_bytes()).expect("redis reads");
    let mut answer = [0; 256];
    let count = stream.read(&mut answer).expect("redis answers");
    String::from_utf8_lossy(&answer[..count]).into_owned()
}

fn publish(redis: SocketAddr) -> anyhow::Result<u64> {
    let poller = Poller::new()?;
    let mut nobody = Audience::connect(&poller, redis, Plan { connections: 0, sessions: 10 })?;
    let mut publisher = RedisPublisher::connect(redis, "bench", 10 * ENTRIES)?;
    let schedule = Schedule { rate: 20_000, total: ENTRIES, sessions: 10 };
    Ok(load::run(&poller, &mut nobody, &mut publisher, schedule)?.published)
}

#[test]
fn what_is_accepted_is_in_the_stream() {
    let cores = Cores::choose().expect("the kernel tells");
    let redis = Running::redis(cores, &std::env::temp_dir()).expect("redis-server is installed");
    assert_eq!(publish(redis.address).expect("redis takes it"), ENTRIES);
    assert_eq!(ask(redis.address, "XLEN bench"), format!(":{ENTRIES}\r\n"));
}

#[test]
fn a_refused_publish_is_no_measurement() {
    let cores = Cores::choose().expect("the kernel tells");
    let redis = Running::redis(cores, &std::env::temp_dir()).expect("redis-server is installed");
    assert_eq!(ask(redis.address, "SET bench text"), "+OK\r\n");
    let error = publish(redis.address).expect_err("the key is no stream");
    assert!(error.to_string().contains("WRONGTYPE"), "{error:#}");
}
