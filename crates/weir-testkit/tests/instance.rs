//! Starting and ending an instance, with a script in its place.

use weir_testkit::{DEADLINE, Instance, Signal};

const PRETEND: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/pretend-weir");

#[tokio::test]
async fn an_instance_says_where_it_listens_and_obeys_signals() {
    let mut instance = Instance::builder(PRETEND).unready().start().await.unwrap();
    assert_eq!(instance.public().port(), 1);
    assert_eq!(instance.admin().port(), 2);
    assert_eq!(instance.log().len(), 1);

    instance.signal(Signal::TERM).unwrap();
    assert_eq!(instance.wait_exit(DEADLINE).await.unwrap().code(), Some(7));
}

#[tokio::test]
async fn one_that_ends_at_once_is_an_error_with_its_log() {
    let error = Instance::builder(PRETEND).env("PRETEND", "refuse").start().await.unwrap_err();
    let error = format!("{error:#}");
    assert!(error.contains("the address is in use"), "{error}");
    assert!(error.contains("ended before it listened"), "{error}");
}

#[tokio::test]
async fn one_that_is_dropped_is_gone() {
    let instance = Instance::builder(PRETEND).unready().start().await.unwrap();
    let process = format!("/proc/{}", instance.pid());
    assert!(std::fs::exists(&process).unwrap());
    drop(instance);
    assert!(!std::fs::exists(&process).unwrap());
}
