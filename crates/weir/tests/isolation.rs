//! What a session holds, and that there is such a session, reaches only those who may read it: random grants and random names
//! that are easily taken for one another, against the running binary.
//!
//! Everything that somebody is told is searched for what belongs to others. A run prints its seed; `WEIR_ISOLATION_SEED` repeats
//! it.
// sizes: one case and everything that may show in it

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use fastrand::Rng;
use serde_json::{Value, json};
use weir_testkit::client::Request;
use weir_testkit::redis::RedisServer;
use weir_testkit::token::claims;
use weir_testkit::{Client, DEADLINE, Instance, Response, Secret, SseStream, eventually};

const WEIR: &str = env!("CARGO_BIN_EXE_weir");

/// Each has sessions, people and events of its own.
const CASES: usize = 12;

/// A busy machine tries fewer of them: none is begun later than this, but for the first.
const ENOUGH: Duration = Duration::from_secs(40);

/// A session, with what stands in its events and nowhere else.
#[derive(Clone, Debug)]
struct Session {
    name: String,
    canary: String,
    /// The data of its events, in order.
    events: Vec<String>,
}

/// Somebody with a token.
#[derive(Debug)]
struct Person {
    subject: String,
    subscribe: Vec<String>,
    publish: Vec<String>,
    token: String,
}

/// A word that stands nowhere else.
fn word(rng: &mut Rng) -> String {
    let start = rng.lowercase();
    std::iter::once(start).chain(std::iter::repeat_with(|| rng.alphanumeric()).take(11)).collect()
}

fn pick<'a, T>(rng: &mut Rng, of: &'a [T]) -> &'a T {
    &of[rng.usize(..of.len())]
}

/// Names that begin alike, look alike, or would be alike once somebody decoded, folded or normalised them.
fn sessions(rng: &mut Rng, subjects: &[String]) -> Vec<Session> {
    let base = word(rng);
    let upper = base.to_uppercase();
    let ends = [
        "",
        "0",
        "b",
        "/b",
        "//b",
        "*",
        "**",
        ":",
        " ",
        "%",
        "%2F",
        "%2f",
        "%252F",
        "+",
        "é",
        "e\u{301}",
        "{sub}",
        ".",
        "/..",
        "\u{2028}",
        "\u{200b}",
        "&session=x",
        "?token=x",
        "#",
        "\"q",
        "\\q",
        "\\n",
        ",",
        "ß",
        "SS",
    ];
    let mut names: BTreeSet<String> =
        [base.clone(), upper, format!("user:{base}"), format!("user:{base}0")].into();
    names.extend(std::iter::repeat_with(|| format!("{base}{}", pick(rng, &ends))).take(6));
    names.extend(subjects.iter().map(|subject| format!("user:{subject}")));
    let all = names.into_iter().map(|name| Session { name, canary: word(rng), events: Vec::new() });
    let mut all: Vec<_> = all.collect();
    rng.shuffle(&mut all);
    all
}

/// Subjects that may be taken for patterns, placeholders, paths or lines of a log.
fn subjects(rng: &mut Rng) -> Vec<String> {
    let ends = ["", "*", "/x", "%2F", "é", "{sub}", ":admin", "\u{2028}", " ", "\"q"];
    let mut subjects: Vec<_> = (0..2).map(|_| format!("{}{}", word(rng), pick(rng, &ends))).collect();
    // One that is the beginning of another.
    subjects.push(format!("{}0", subjects[0].trim_end()));
    subjects.push(pick(rng, &["*", "{sub}"]).to_string());
    subjects
}

fn patterns(rng: &mut Rng, sessions: &[Session]) -> Vec<String> {
    let mut patterns: Vec<String> = Vec::new();
    for _ in 0..rng.usize(1..4) {
        let name = &pick(rng, sessions).name;
        let cuts: Vec<_> = name.char_indices().map(|(at, _)| at).filter(|at| *at >= 8).collect();
        patterns.push(match (rng.u8(..8), cuts.as_slice()) {
            (0 | 1, _) => name.clone(),
            (2 | 3, [_, ..]) => format!("{}*", &name[..*pick(rng, &cuts)]),
            (4, _) => format!("{name}*"),
            (5, _) => "user:{sub}*".to_owned(),
            (6, _) => name.replace("{sub}", "{{sub}}"),
            _ => "user:{sub}".to_owned(),
        });
    }
    patterns
}

fn people(rng: &mut Rng, secret: &Secret, subjects: Vec<String>, sessions: &[Session]) -> Vec<Person> {
    subjects
        .into_iter()
        .map(|subject| {
            let (subscribe, publish) = (patterns(rng, sessions), patterns(rng, sessions));
            let token = secret.sign(&claims_of(&subject, &subscribe, &publish));
            Person { subject, subscribe, publish, token }
        })
        .collect()
}

fn claims_of(subject: &str, subscribe: &[String], publish: &[String]) -> Value {
    let mut claims = claims(subject, &[], &[]);
    claims["weir"] = json!({ "subscribe": subscribe, "publish": publish });
    claims
}

/// What section 6 of the contract says, letter by letter and not as weir does it.
fn may(patterns: &[String], subject: &str, session: &str) -> bool {
    patterns.iter().any(|pattern| {
        let (mut rest, mut left) = (pattern.as_str(), session);
        loop {
            if rest == "*" {
                return true;
            }
            let (literal, after) = match rest.strip_prefix("{sub}") {
                Some(after) => (subject, after),
                None => match rest.chars().next() {
                    Some(char) => rest.split_at(char.len_utf8()),
                    None => return left.is_empty(),
                },
            };
            let Some(behind) = left.strip_prefix(literal) else { return false };
            (rest, left) = (after, behind);
        }
    })
}

impl Person {
    fn reads(&self, session: &Session) -> bool {
        may(&self.subscribe, &self.subject, &session.name)
    }

    fn writes(&self, session: &Session) -> bool {
        may(&self.publish, &self.subject, &session.name)
    }
}

/// How a token is shown.
#[derive(Clone, Copy, Debug)]
enum Carrier {
    Header,
    Cookie,
    Query,
}

fn show(request: Request, carrier: Carrier, token: &str) -> Request {
    match carrier {
        Carrier::Header => request.bearer(token),
        Carrier::Cookie => request.header("cookie", format!("other=1; weir_token={token}")),
        Carrier::Query => request.query("token", token),
    }
}

struct Case<'a> {
    client: Client,
    rng: &'a mut Rng,
    writer: String,
    sessions: Vec<Session>,
    people: Vec<Person>,
    /// A session that nobody made, and that nobody's patterns allow.
    nowhere: String,
}

impl Case<'_> {
    /// Everybody sees their own and nothing else.
    async fn run(&mut self) -> anyhow::Result<()> {
        for nth in 0..self.sessions.len() {
            self.publish(nth).await?;
        }
        let foreign_id = self.publish(0).await?;
        self.settle().await?;
        let mut streams = Vec::new();
        for person in &self.people {
            streams.push(self.subscribe(person).await?);
        }
        // After those of all sessions comes one that each of them waits for, so that nobody stops reading before.
        let last = |person| self.sessions.iter().position(|session| Person::reads(person, session));
        let marks: Vec<_> = self.people.iter().filter_map(last).collect();
        let mut live = Vec::new();
        for nth in (0..self.sessions.len()).chain(marks) {
            self.publish(nth).await?;
            live.push((nth, self.sessions[nth].events.last().cloned().context("published")?));
        }
        for (person, stream) in self.people.iter().zip(&mut streams) {
            if let Some(stream) = stream {
                self.follows(person, stream, &live).await?;
            }
        }
        for nth in 0..self.people.len() {
            self.settle().await?;
            self.replays(nth, &foreign_id).await?;
            self.knocks(nth).await?;
            self.writes(nth).await?;
        }
        self.settle().await?;
        // Nobody wrote what was not theirs to write.
        let all: Vec<_> = self.sessions.iter().collect();
        let writer = show(self.long_poll(&all, "earliest"), Carrier::Header, &self.writer);
        self.is_truth(&writer.send().await?, &all, 0)
    }

    async fn publish(&mut self, nth: usize) -> anyhow::Result<String> {
        let session = &mut self.sessions[nth];
        let data = format!("{} {}", session.canary, session.events.len());
        let request = self.client.event(&session.name).bearer(&self.writer).query("key", &session.canary);
        let answer = request.query("snapshot", "600").body(data.clone()).send().await?;
        session.events.push(data);
        Ok(answer.event_id()?.to_string())
    }

    /// Waits until all that was published stands where replays and new streams begin.
    async fn settle(&self) -> anyhow::Result<()> {
        let by_writer = |request: Request| request.bearer(&self.writer);
        let id = by_writer(self.client.event("settled")).send().await?.event_id()?.to_string();
        eventually(DEADLINE, async || {
            let all = self.client.events("settled").query("lastEventId", "earliest").query("wait", "0");
            let all = by_writer(all).send().await?;
            ensure!(all.text()?.contains(&id), "{id} is not in {all:?}");
            Ok(())
        })
        .await
    }

    fn long_poll(&self, sessions: &[&Session], from: &str) -> Request {
        let request = self.client.get("/v1/events").query("lastEventId", from).query("wait", "0");
        sessions.iter().fold(request, |request, session| request.query("session", &session.name))
    }

    fn read_by<'s>(&'s self, person: &Person) -> Vec<&'s Session> {
        self.sessions.iter().filter(|session| person.reads(session)).collect()
    }

    async fn subscribe(&self, person: &Person) -> anyhow::Result<Option<SseStream>> {
        let own = self.read_by(person);
        if own.is_empty() {
            return Ok(None);
        }
        let request = own
            .iter()
            .fold(self.client.get("/v1/events"), |request, session| request.query("session", &session.name));
        let mut stream = request.bearer(&person.token).subscribe().await?;
        ensure!(stream.next_event().await?.event == "weir.connected");
        Ok(Some(stream))
    }

    /// A live stream brings each of the person's own sessions what was published, and nothing of others.
    async fn follows(
        &self,
        person: &Person,
        stream: &mut SseStream,
        live: &[(usize, String)],
    ) -> anyhow::Result<()> {
        for (nth, data) in live {
            let session = &self.sessions[*nth];
            if !person.reads(session) {
                continue;
            }
            let event: Value = serde_json::from_str(&stream.next_published().await?.data)?;
            ensure!(event["session"] == session.name.as_str() && event["data"] == data.as_str(), "{event}");
        }
        let seen = String::from_utf8_lossy(stream.transcript()).into_owned();
        self.sees_only_own(person, &[], &format!("{:?} {seen}", stream.head))
    }

    /// What was published before comes to those who may read it, whatever position they come from.
    async fn replays(&mut self, nth: usize, foreign_id: &str) -> anyhow::Result<()> {
        let carrier = *pick(self.rng, &[Carrier::Header, Carrier::Cookie, Carrier::Query]);
        let person = &self.people[nth];
        let own = self.read_by(person);
        if own.is_empty() {
            return Ok(());
        }
        let answer = show(self.long_poll(&own, "earliest"), carrier, &person.token).send().await?;
        self.is_truth(&answer, &own, 0)?;
        self.sees_only_own(person, &[], &told(&answer))?;
        // An id is a position, whoever's it is.
        let answer = show(self.long_poll(&own, foreign_id), carrier, &person.token).send().await?;
        ensure!(answer.json()?["gap"].is_null(), "{answer:?}");
        self.sees_only_own(person, &[], &told(&answer))?;
        self.streams(nth, (foreign_id, &answer.json()?["events"])).await
    }

    /// By a stream comes the same as by a long-poll, and by one that begins with snapshots nothing of others either.
    async fn streams(&mut self, nth: usize, (foreign_id, missed): (&str, &Value)) -> anyhow::Result<()> {
        let person = &self.people[nth];
        let own = self.read_by(person);
        let request = own
            .iter()
            .fold(self.client.get("/v1/events"), |request, session| request.query("session", &session.name))
            .bearer(&person.token);
        let mut resumed = request.clone().header("last-event-id", foreign_id).subscribe().await?;
        let mut healed = request.query("snapshot", "1").subscribe().await?;
        let mark = self.sessions.iter().position(|session| person.reads(session)).context("one's own")?;
        self.publish(mark).await?;
        let mark = self.sessions[mark].events.last().cloned().context("published")?;
        let person = &self.people[nth];
        for (stream, mut due) in [(&mut resumed, missed.as_array().cloned()), (&mut healed, None)] {
            loop {
                let event: Value = serde_json::from_str(&stream.next_published().await?.data)?;
                if event["data"] == mark.as_str() {
                    break;
                }
                if let Some(due) = &mut due {
                    ensure!(!due.is_empty(), "{event} was not missed");
                    let due = due.remove(0);
                    ensure!(
                        event["session"] == due["session"] && event["data"] == due["data"],
                        "{event} {due}"
                    );
                }
            }
            ensure!(due.is_none_or(|due| due.is_empty()), "not all came");
            let seen = String::from_utf8_lossy(stream.transcript()).into_owned();
            self.sees_only_own(person, &[], &format!("{:?} {seen}", stream.head))?;
        }
        Ok(())
    }

    /// The events of these sessions, all of them and no others.
    fn is_truth(&self, answer: &Response, own: &[&Session], from: usize) -> anyhow::Result<()> {
        ensure!(answer.status() == 200, "{answer:?}");
        let events = answer.json()?["events"].take();
        let pair =
            |event: &Value| Some((event["session"].as_str()?.to_owned(), event["data"].as_str()?.to_owned()));
        let mut got: Vec<_> = events.as_array().context("events")?.iter().filter_map(pair).collect();
        let of_session = |session: &Session| {
            let name = session.name.clone();
            session.events[from..].iter().map(move |data| (name.clone(), data.clone())).collect::<Vec<_>>()
        };
        let mut want: Vec<_> = own.iter().flat_map(|session| of_session(session)).collect();
        got.sort();
        want.sort();
        ensure!(got == want, "got {got:?} instead of {want:?}");
        Ok(())
    }

    /// Every way in: open to those who may, and to others shut in the same way whether there is such a session or not.
    async fn knocks(&mut self, nth: usize) -> anyhow::Result<()> {
        for at in 0..self.sessions.len() {
            let carrier = *pick(self.rng, &[Carrier::Header, Carrier::Cookie, Carrier::Query]);
            let (person, session) = (&self.people[nth], &self.sessions[at]);
            for way in WAYS {
                let answer = show(way(&self.client, &session.name), carrier, &person.token).send().await?;
                if person.reads(session) {
                    ensure!(answer.status() == 200, "{person:?} may read {session:?}: {answer:?}");
                } else {
                    let nowhere =
                        show(way(&self.client, &self.nowhere), carrier, &person.token).send().await?;
                    self.is_shut(&answer, &nowhere).with_context(|| format!("{person:?} {session:?}"))?;
                }
                self.sees_only_own(person, &[], &told(&answer))?;
            }
            if !person.reads(session) {
                // One that is forbidden refuses all.
                let with_own: Vec<_> = self.read_by(person).into_iter().chain([session]).collect();
                let nowhere =
                    Session { name: self.nowhere.clone(), canary: String::new(), events: Vec::new() };
                let answer =
                    show(self.long_poll(&with_own, "earliest"), carrier, &person.token).send().await?;
                let with_nowhere: Vec<_> = self.read_by(person).into_iter().chain([&nowhere]).collect();
                let nowhere =
                    show(self.long_poll(&with_nowhere, "earliest"), carrier, &person.token).send().await?;
                self.is_shut(&answer, &nowhere)?;
                self.sees_only_own(person, &[], &told(&answer))?;
            }
        }
        Ok(())
    }

    /// Forbidden, and not otherwise than a session that does not exist.
    fn is_shut(&self, answer: &Response, nowhere: &Response) -> anyhow::Result<()> {
        ensure!((answer.status(), nowhere.status()) == (403, 403), "{answer:?} {nowhere:?}");
        let names = |answer: &Response| -> Vec<String> {
            answer.head.headers.iter().map(|(name, _)| name.clone()).collect()
        };
        ensure!(names(answer) == names(nowhere), "{answer:?} {nowhere:?}");
        ensure!(without_request_id(answer) == without_request_id(nowhere), "{answer:?} {nowhere:?}");
        Ok(())
    }

    /// Publishing what is theirs and nothing else, and no key of others tells them anything.
    async fn writes(&mut self, nth: usize) -> anyhow::Result<()> {
        for at in 0..self.sessions.len() {
            let (person, session) = (&self.people[nth], &self.sessions[at]);
            let data = format!("{} {}", session.canary, session.events.len());
            let theirs = person.writes(session);
            let key = word(self.rng);
            let own = self.sessions.iter().find(|other| person.writes(other));
            let batch = own.into_iter().chain([session]).map(|to| json!({"session": to.name, "data": data}));
            let batch = Value::Array(batch.collect());
            let by = |request: Request| request.bearer(&person.token).header("idempotency-key", &key);
            if theirs {
                let first =
                    self.client.event(&session.name).bearer(&self.writer).header("idempotency-key", &key);
                let first = first.body(data.clone()).send().await?.event_id()?;
                let answer = by(self.client.event(&session.name)).body(data.clone()).send().await?;
                let second = answer.event_id()?;
                ensure!(first != second && answer.head.header("weir-duplicate").is_none(), "{answer:?}");
                self.sees_only_own(person, &[session], &told(&answer))?;
                self.sessions[at].events.extend([data.clone(), data]);
            } else {
                let json = self.client.post("/v1/events").header("content-type", "application/json");
                for request in
                    [self.client.event(&session.name).body(data.clone()), json.body(batch.to_string())]
                {
                    let answer = by(request).send().await?;
                    ensure!(answer.status() == 403, "{person:?} may not write {session:?}: {answer:?}");
                    self.sees_only_own(person, &[], &told(&answer))?;
                }
            }
        }
        Ok(())
    }

    /// Nothing in a text belongs to a session that this person may neither read nor named with a right to.
    fn sees_only_own(&self, person: &Person, named: &[&Session], text: &str) -> anyhow::Result<()> {
        let own: Vec<_> = self.read_by(person).into_iter().chain(named.iter().copied()).collect();
        for session in self.sessions.iter().filter(|session| !person.reads(session)) {
            ensure!(!text.contains(&session.canary), "{person:?} sees data of {session:?} in {text}");
            // A name that is a part of one's own stands in that.
            let part = |own: &&Session| own.name.contains(&session.name);
            let in_json = json!(session.name).to_string();
            let shows = text.contains(&session.name) || text.contains(in_json.trim_matches('"'));
            ensure!(!shows || own.iter().any(part), "{person:?} sees the name of {session:?} in {text}");
        }
        let mut others =
            self.people.iter().filter(|other| other.subject != person.subject && other.subject.len() > 8);
        let seen = others.find(|other| {
            !own.iter().any(|own| own.name.contains(&other.subject)) && text.contains(&other.subject)
        });
        ensure!(seen.is_none(), "{person:?} sees that there is {seen:?} in {text}");
        Ok(())
    }

    /// What operators keep, and pass on: neither data nor names nor tokens, whatever the level.
    fn is_silent(&self, text: &str, what: &str) -> anyhow::Result<()> {
        for session in &self.sessions {
            ensure!(
                !text.contains(&session.canary),
                "data of {session:?} in {what}: {}",
                lines_with(text, &session.canary)
            );
            ensure!(
                !text.contains(&session.name),
                "{session:?} in {what}: {}",
                lines_with(text, &session.name)
            );
        }
        for token in self.people.iter().map(|person| &person.token).chain([&self.writer]) {
            let signature = token.rsplit('.').next().unwrap_or_default();
            ensure!(!text.contains(signature), "a token in {what}: {}", lines_with(text, signature));
        }
        Ok(())
    }
}

/// Ways to read one session.
const WAYS: [fn(&Client, &str) -> Request; 4] = [
    |client, session| client.events(session).query("wait", "0"),
    |client, session| {
        client.events(session).query("wait", "0").query("lastEventId", "earliest").query("snapshot", "1")
    },
    |client, session| client.snapshot("GET", session),
    |client, session| client.snapshot("HEAD", session),
];

/// All that an answer tells.
fn told(answer: &Response) -> String {
    format!("{:?} {}", answer.head, String::from_utf8_lossy(&answer.body))
}

/// A body as it is for every request.
fn without_request_id(answer: &Response) -> Option<Value> {
    let mut body = answer.json().ok()?;
    body.as_object_mut()?.remove("requestId");
    Some(body)
}

fn lines_with(text: &str, word: &str) -> String {
    text.lines().filter(|line| line.contains(word)).take(3).collect::<Vec<_>>().join("\n")
}

/// A seed of one's own choice repeats a run.
fn seed() -> u64 {
    let given = std::env::var_os("WEIR_ISOLATION_SEED").and_then(|seed| seed.to_str()?.parse().ok());
    given.unwrap_or_else(|| fastrand::u64(..))
}

#[tokio::test]
async fn nobody_sees_what_is_not_theirs() -> anyhow::Result<()> {
    let seed = seed();
    let (mut rng, began) = (Rng::with_seed(seed), Instant::now());
    for nth in 0..CASES {
        if nth > 0 && began.elapsed() > ENOUGH {
            break;
        }
        case(&mut rng).await.with_context(|| format!("case {nth} of WEIR_ISOLATION_SEED={seed}"))?;
    }
    Ok(())
}

/// Each has an instance of its own, so that what is searched is all about this case.
async fn case(rng: &mut Rng) -> anyhow::Result<()> {
    let secret = Secret::new();
    let flags = ["--jwt-secret-file", secret.flag(), "--anonymous", "none", "--log", "trace"];
    let weir = Instance::start(WEIR, &flags).await?;
    let subjects = subjects(rng);
    let sessions = sessions(rng, &subjects);
    let people = people(rng, &secret, subjects, &sessions);
    let (writer, nowhere) = (secret.token("writer", &["*"], &["*"]), format!("nowhere:{}", word(rng)));
    let mut case = Case { client: weir.client(), rng, writer, sessions, people, nowhere };
    case.run().await?;
    case.is_silent(&weir.log().join("\n"), "the log")?;
    case.is_silent(weir.admin_client().get("/metrics").send().await?.text()?, "the metrics")
}

/// What a slow client lost is told of its own sessions alone, and counts no event of others.
#[tokio::test]
async fn a_gap_tells_of_ones_own_sessions() -> anyhow::Result<()> {
    let secret = Secret::new();
    let flags = [
        "--jwt-secret-file",
        secret.flag(),
        "--anonymous",
        "none",
        "--queue-events",
        "4",
        "--overflow",
        "drop-oldest",
    ];
    let weir = Instance::start(WEIR, &flags).await?;
    let (writer, reader) = (secret.token("w", &[], &["*"]), secret.token("r", &["own"], &[]));
    let request = weir.client().events("own").bearer(&reader).receive_buffer(4096);
    let mut stream = request.subscribe().await?;
    ensure!(stream.next_event().await?.event == "weir.connected");
    let data = "x".repeat(64 * 1024);
    for nth in 0..100 {
        for session in ["own", "foreign"] {
            weir.client()
                .event(session)
                .bearer(&writer)
                .body(format!("{session} {nth} {data}"))
                .send()
                .await?
                .event_id()?;
        }
    }
    weir.client().event("own").bearer(&writer).body("last").send().await?.event_id()?;
    let (mut got, mut missed) = (0, 0);
    loop {
        let event = stream.next_event().await?;
        ensure!(!event.data.contains("foreign"), "{}", &event.data[..100]);
        match event.event.as_str() {
            "weir.gap" => {
                let gap: Value = serde_json::from_str(&event.data)?;
                ensure!(gap["session"] == "own" || gap["session"].is_null(), "{gap}");
                missed += gap["missed"].as_u64().context("what left the queue is counted")?;
            }
            "message" if event.data == "last" => break,
            "message" => got += 1,
            _ => {}
        }
    }
    ensure!(missed > 0 && got + missed == 100, "{got} came and {missed} are missed");
    Ok(())
}

/// An entry that is too large is told to those who may read its session.
#[tokio::test]
async fn an_entry_that_is_too_large_is_told_to_its_readers() -> anyhow::Result<()> {
    let (redis, secret) = (RedisServer::start().await, Secret::new());
    let flags = [
        "--redis",
        &redis.url(),
        "--jwt-secret-file",
        secret.flag(),
        "--anonymous",
        "none",
        "--max-event-bytes",
        "1KiB",
    ];
    let weir = Instance::start(WEIR, &flags).await?;
    let mut streams = Vec::new();
    for session in ["own", "foreign"] {
        let token = secret.token("r", &[session], &[]);
        let mut stream = weir.client().events(session).bearer(&token).subscribe().await?;
        ensure!(stream.next_event().await?.event == "weir.connected");
        streams.push(stream);
    }
    redis.cli(&["XADD", "weir:events", "*", "session", "foreign", "data", &"x".repeat(4096)]).await;
    redis.cli(&["XADD", "weir:events", "*", "session", "own", "data", "after"]).await;
    let gap = streams[1].next_event().await?;
    ensure!(gap.event == "weir.gap" && gap.data.contains("\"foreign\""), "{gap:?}");
    let next = streams[0].next_event().await?;
    ensure!(next.event == "message" && next.data == "after", "{next:?}");
    Ok(())
}

#[test]
fn the_test_itself_reads_patterns_as_the_contract_says() {
    let may = |pattern: &str, subject: &str, session: &str| may(&[pattern.to_owned()], subject, session);
    assert!(may("a", "", "a") && !may("a", "", "ab") && !may("ab", "", "a"));
    assert!(
        may("a*", "", "a")
            && may("a*", "", "ab")
            && !may("a*", "", "b")
            && may("a*b", "", "a*b")
            && !may("a*b", "", "axb")
    );
    assert!(may("u:{sub}", "*", "u:*") && !may("u:{sub}", "*", "u:x") && may("u:{sub}*", "*", "u:*x"));
    assert!(may("{sub}", "{sub}", "{sub}") && may("{{sub}}", "a", "{a}") && !may("{sub}", "a", "{sub}"));
}
