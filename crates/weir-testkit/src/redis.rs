//! A private redis-server for one test.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// How long the server may take to answer. It bounds a test against a server that hangs.
const PATIENCE: Duration = Duration::from_secs(20);

/// How often a port that somebody else took in the meantime is replaced by another.
const PORT_TRIES: usize = 8;

/// A redis-server of its own on a free port of the loopback. A restart empties it, unless it is
/// [persistent](Self::start_persistent). It dies with this value.
#[derive(Debug)]
pub struct RedisServer {
    port: u16,
    append_only: &'static str,
    process: Option<Child>,
    dir: TempDir,
}

impl RedisServer {
    /// Starts a server and waits until it answers.
    ///
    /// # Panics
    /// Where `redis-server` is not installed or does not come up.
    pub async fn start() -> Self {
        Self::start_with("no").await
    }

    /// Starts one that writes every change to disk before it answers, so that a restart loses nothing.
    ///
    /// # Panics
    /// As [`Self::start`].
    pub async fn start_persistent() -> Self {
        Self::start_with("yes").await
    }

    async fn start_with(append_only: &'static str) -> Self {
        for _ in 0..PORT_TRIES {
            let dir = tempfile::tempdir().expect("a temporary directory can be made");
            let mut server = Self { port: free_port(), append_only, process: None, dir };
            if server.up().await {
                return server;
            }
        }
        panic!("redis-server did not come up on any of {PORT_TRIES} ports");
    }

    /// `redis://127.0.0.1:<port>`.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Runs one command and gives its reply as text: an array one element a line, nil as `(nil)`.
    ///
    /// # Panics
    /// On an error reply.
    pub async fn cli(&self, args: &[&str]) -> String {
        let args: Vec<&[u8]> = args.iter().map(|arg| arg.as_bytes()).collect();
        self.command(&args).await
    }

    /// [`Self::cli`] with arguments of any bytes.
    ///
    /// # Panics
    /// On an error reply.
    pub async fn command(&self, args: &[&[u8]]) -> String {
        self.try_command(args)
            .await
            .expect("redis answers")
            .unwrap_or_else(|error| panic!("redis refuses: {error}"))
    }

    /// Stops the process where it stands (`SIGSTOP`): sockets stay open, nothing answers.
    ///
    /// # Panics
    /// Where the server is not running.
    pub fn pause(&self) {
        kill_process(self.pid(), Signal::STOP).expect("an own child can be stopped");
    }

    /// Lets a paused process go on (`SIGCONT`).
    ///
    /// # Panics
    /// Where the server is not running.
    pub fn resume(&self) {
        kill_process(self.pid(), Signal::CONT).expect("an own child can be continued");
    }

    /// Kills the process (`SIGKILL`). The port stays this server's by agreement: [`Self::restart`] takes it again.
    pub fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().expect("an own child can be killed");
            process.wait().expect("an own child can be waited for");
        }
    }

    /// Kills the process if it runs, and starts another one on the same port, empty unless it is persistent.
    ///
    /// # Panics
    /// Where it does not come up.
    pub async fn restart(&mut self) {
        self.stop();
        assert!(self.up().await, "redis-server did not come up again on port {}", self.port);
    }

    /// Whether it came up; `false` where the process ended by itself, as on a port that is taken.
    async fn up(&mut self) -> bool {
        self.process = Some(self.spawn());
        let deadline = Instant::now() + PATIENCE;
        loop {
            if matches!(self.try_command(&[b"PING"]).await, Ok(Ok(_))) {
                return self.running();
            }
            if !self.running() {
                return false;
            }
            assert!(Instant::now() < deadline, "redis-server does not answer on port {}", self.port);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    fn spawn(&self) -> Child {
        let port = self.port.to_string();
        let spawned = Command::new("redis-server")
            .args(["--port", &port, "--bind", "127.0.0.1", "--save", "", "--appendonly", self.append_only])
            .args(["--appendfsync", "always", "--dir"])
            .arg(self.dir.path())
            .args(["--logfile", "redis.log"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        match spawned {
            Ok(process) => process,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                panic!(
                    "redis-server is not installed: `make test` installs it, or run `apt-get install redis-server`"
                )
            }
            Err(error) => panic!("redis-server cannot be started: {error}"),
        }
    }

    fn running(&mut self) -> bool {
        self.process.as_mut().is_some_and(|process| matches!(process.try_wait(), Ok(None)))
    }

    fn pid(&self) -> Pid {
        Pid::from_child(self.process.as_ref().expect("the server runs"))
    }

    /// Runs one command on a connection of its own; the inner error is the server's.
    ///
    /// # Errors
    /// There is no answer.
    pub async fn try_command(&self, args: &[&[u8]]) -> io::Result<Result<String, String>> {
        let (port, request) = (self.port, encode(args));
        let exchange = move || {
            let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.write_all(&request)?;
            read_reply(&mut BufReader::new(stream))
        };
        tokio::task::spawn_blocking(exchange).await.expect("the exchange does not panic")
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.stop();
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("the loopback has a free port");
    listener.local_addr().expect("a bound socket has an address").port()
}

fn encode(args: &[&[u8]]) -> Vec<u8> {
    let mut out = format!("*{}\r\n", args.len()).into_bytes();
    for arg in args {
        out.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
        out.extend_from_slice(arg);
        out.extend_from_slice(b"\r\n");
    }
    out
}

fn read_reply(from: &mut impl BufRead) -> io::Result<Result<String, String>> {
    let mut line = String::new();
    if from.read_line(&mut line)? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let line = line.trim_end();
    let Some((kind, rest)) = line.split_at_checked(1) else { return Err(io::ErrorKind::InvalidData.into()) };
    match kind {
        "-" => Ok(Err(rest.to_owned())),
        "$" | "*" if rest == "-1" => Ok(Ok("(nil)".to_owned())),
        "$" => read_bulk(from, length(rest)?).map(Ok),
        "*" => read_array(from, length(rest)?),
        _ => Ok(Ok(rest.to_owned())),
    }
}

fn read_bulk(from: &mut impl BufRead, len: usize) -> io::Result<String> {
    let mut bytes = vec![0; len + 2];
    from.read_exact(&mut bytes)?;
    bytes.truncate(len);
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn read_array(from: &mut impl BufRead, len: usize) -> io::Result<Result<String, String>> {
    let mut items = Vec::with_capacity(len);
    for _ in 0..len {
        match read_reply(from)? {
            Ok(item) => items.push(item),
            Err(error) => return Ok(Err(error)),
        }
    }
    Ok(Ok(items.join("\n")))
}

fn length(digits: &str) -> io::Result<usize> {
    digits.parse().map_err(|_| io::ErrorKind::InvalidData.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_server_of_its_own_answers_pauses_and_restarts_empty() {
        let mut server = RedisServer::start().await;
        assert_eq!(server.cli(&["RPUSH", "k", "a", "b"]).await, "2");
        assert_eq!(server.command(&[b"RPUSH", b"k", b"\xff"]).await, "3");
        assert_eq!(server.cli(&["LRANGE", "k", "0", "1"]).await, "a\nb");
        server.pause();
        server.resume();
        assert_eq!(server.cli(&["GET", "none"]).await, "(nil)");
        server.restart().await;
        assert_eq!(server.cli(&["EXISTS", "k"]).await, "0");
        assert!(server.url().ends_with(&server.port().to_string()));
    }

    #[tokio::test]
    async fn a_persistent_server_keeps_what_it_acknowledged() {
        let mut server = RedisServer::start_persistent().await;
        assert_eq!(server.cli(&["RPUSH", "k", "a", "b"]).await, "2");
        server.restart().await;
        assert_eq!(server.cli(&["LLEN", "k"]).await, "2");
    }

    #[tokio::test]
    #[should_panic(expected = "wrong number of arguments")]
    async fn an_error_reply_fails_the_test() {
        RedisServer::start().await.cli(&["GET"]).await;
    }
}
