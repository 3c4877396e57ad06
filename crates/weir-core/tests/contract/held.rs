//! Section 4: who comes before the load, or from an instance that was ahead, is held.

use weir_core::subscription::ResumeResult;

use crate::contract::driver::{Instance, event, from, wants};

#[test]
fn who_comes_before_the_load_is_held_with_heartbeats() {
    let mut instance = Instance::starting(10, 10);
    let seats = [instance.join(wants("room")), instance.join(from("room", "4-0"))];
    for seat in &seats {
        assert!(instance.pull(seat).is_empty());
        instance.wait(4000);
        seat.beat();
        assert_eq!(instance.pull(seat), [":"]);
        assert!(seat.look(|subscription| subscription.is_waiting()));
    }
    instance.load("4-0", vec![event("5-0", "room", "a")], "6-0");
    assert_eq!(instance.pull(&seats[0]), ["connected 6-0"]);
    assert_eq!(instance.pull(&seats[1]), ["connected 4-0", "5-0 a"]);
}

#[test]
fn after_ten_seconds_without_a_load_it_is_refused() {
    let mut instance = Instance::starting(10, 10);
    let seat = instance.join(wants("room"));
    instance.wait(9999);
    assert!(instance.pull(&seat).is_empty());
    assert_eq!(
        seat.look(|subscription| subscription.deadline()),
        Some(instance.time().now + std::time::Duration::from_millis(1))
    );
    instance.wait(1);
    assert_eq!(instance.pull(&seat), ["Refused(Starting)", "end Refused(Starting)"]);
}

#[test]
fn who_is_ahead_is_held_until_the_reader_has_passed_it() {
    let mut instance = Instance::at("5-0", 10, 10);
    let seat = instance.join(from("room", "7-0"));
    assert_eq!(instance.pull(&seat), ["connected 7-0"]);
    instance.wait(4000);
    seat.beat();
    assert_eq!(instance.pull(&seat), [":"]);
    instance.batch([event("6-0", "room", "seen elsewhere")]);
    assert!(instance.pull(&seat).is_empty());
    instance.batch([event("7-0", "room", "seen elsewhere too"), event("8-0", "room", "a")]);
    let pulled = instance.once(&seat, 10).expect("what follows");
    assert_eq!(pulled.resume, Some(ResumeResult::Complete));
    instance.batch([event("9-0", "room", "b")]);
    assert_eq!(instance.pull(&seat), ["9-0 b"]);
}

#[test]
fn a_resume_that_comes_up_with_nothing_to_write_is_still_reported() {
    let instance = Instance::at("5-0", 10, 10);
    let seat = instance.join(from("room", "7-0"));
    instance.pull(&seat);
    instance.batch([event("7-0", "room", "seen elsewhere")]);
    let pulled = instance.once(&seat, 10).expect("the result");
    assert_eq!((pulled.items.len(), pulled.resume), (0, Some(ResumeResult::Complete)));
}

#[test]
fn after_five_seconds_ahead_it_is_unknown() {
    let mut instance = Instance::at("5-0", 10, 10);
    let seat = instance.join(from("room", "7-0"));
    assert_eq!(instance.pull(&seat), ["connected 7-0"]);
    instance.wait(4999);
    instance.batch([event("6-0", "room", "a")]);
    assert!(instance.pull(&seat).is_empty());
    instance.wait(1);
    assert_eq!(instance.pull(&seat), ["gap unknown-id - - (7-0, -)", "ping 6-0"]);
    instance.batch([event("6-1", "room", "b")]);
    assert_eq!(instance.pull(&seat), ["6-1 b"]);
}

#[test]
fn who_is_held_is_woken_by_a_batch_a_hole_and_a_load() {
    let instance = Instance::at("5-0", 10, 10);
    let by_hole = instance.join(from("room", "7-0"));
    instance.pull(&by_hole);
    let bell = std::sync::Arc::new(Bell::default());
    let rang = |seat: &weir_core::hub::Seat| {
        let waker = std::task::Waker::from(std::sync::Arc::clone(&bell));
        let cx = std::task::Context::from_waker(&waker);
        let all = weir_core::subscription::Budget { events: 10, bytes: 1000 };
        drop(seat.poll_pull(&cx, &instance.broker.view(instance.time()), all));
        bell.0.swap(false, std::sync::atomic::Ordering::Relaxed)
    };
    rang(&by_hole);
    instance.lose("5-0", "7-0");
    assert!(rang(&by_hole));
    // It joined below the head, and the head went back before it was first pulled.
    let by_load = instance.join(from("room", "6-0"));
    instance.reset(("6-0", "7-0"), "1-0", Vec::new(), "1-0");
    assert_eq!(instance.pull(&by_load), ["connected 6-0"]);
    rang(&by_load);
    instance.batch([event("6-0", "room", "a")]);
    assert!(rang(&by_load));
}

#[derive(Default)]
struct Bell(std::sync::atomic::AtomicBool);

impl std::task::Wake for Bell {
    fn wake(self: std::sync::Arc<Self>) {
        self.0.store(true, std::sync::atomic::Ordering::Relaxed);
    }
}
