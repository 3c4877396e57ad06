//! Section 3: notices as they stand on the wire, byte for byte.

use bytes::BytesMut;
use weir_core::notice::{Gap, GapReason, Notice, NoticeFacts, Refusal};

use crate::contract::driver::{id, session};

fn wire(notice: &Notice) -> String {
    let mut out = BytesMut::new();
    notice.put(&mut out, NoticeFacts { now_ms: 7, heartbeat_ms: 15_000, reconnect_ms: 5231 });
    String::from_utf8(out.to_vec()).expect("text")
}

#[test]
fn notices() {
    assert_eq!(
        wire(&Notice::Connected(id("1795242612000-3"))),
        "event: weir.connected\nid: 1795242612000-3\ndata: {\"heartbeat\":15000}\n\n"
    );
    assert_eq!(wire(&Notice::Ping(id("5-0"))), "event: weir.ping\nid: 5-0\ndata: {\"ts\":7}\n\n");
    assert_eq!(wire(&Notice::Comment), ":\n");
    assert_eq!(wire(&Notice::Degraded(3)), "event: weir.degraded\ndata: {\"since\":3}\n\n");
    assert_eq!(wire(&Notice::Restored), "event: weir.restored\ndata: {}\n\n");
    assert_eq!(wire(&Notice::Expiring(29_500)), "event: weir.expiring\ndata: {\"in\":29500}\n\n");
    assert_eq!(wire(&Notice::Expired), "event: weir.expired\ndata: {\"reason\":\"expired\"}\n\n");
    assert_eq!(wire(&Notice::Revoked), "event: weir.expired\ndata: {\"reason\":\"revoked\"}\n\n");
    assert_eq!(wire(&Notice::Shutdown), "retry: 5231\nevent: weir.shutdown\ndata: {\"reconnect\":5231}\n\n");
    assert_eq!(
        wire(&Notice::Refused(Refusal::Starting)),
        "event: weir.refused\ndata: {\"reason\":\"starting\",\"reconnect\":5231}\n\n"
    );
}

#[test]
fn gaps() {
    let gap = Gap {
        reason: GapReason::Overflow,
        session: Some(session("room/1")),
        missed: Some(3),
        after: Some(id("5-0")),
        before: Some(id("9-0")),
        then: id("8-0"),
    };
    let fields = |text: &str| {
        let data = text.strip_prefix("event: weir.gap\ndata: ").and_then(|rest| rest.strip_suffix("\n\n"));
        serde_json::from_str::<serde_json::Value>(data.expect("a gap without id")).expect("JSON")
    };
    assert_eq!(
        fields(&wire(&Notice::Gap(gap.clone()))),
        serde_json::json!({"reason": "overflow", "session": "room/1", "missed": 3, "after": "5-0", "before": "9-0"})
    );
    let bare =
        Gap { reason: GapReason::UnknownId, session: None, missed: None, after: None, before: None, ..gap };
    assert_eq!(
        fields(&wire(&Notice::Gap(bare))),
        serde_json::json!({"reason": "unknown-id", "session": null, "missed": null, "after": null, "before": null})
    );
}
