//! podman in namespaces of its own: its networks, mounts and processes end with the test, and the machine's own images and
//! rules are never touched. There is no registry to pull from, so `.ci/setup deploy` made what stands in for its images.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use tempfile::TempDir;
use weir_testkit::program::{self, Program};
use weir_testkit::{DEADLINE, eventually};

/// The image that [`Podman::image`] makes.
pub(crate) const IMAGE: &str = "localhost/weir:test";

/// What this machine may lack: groups of version 2 with limits, and the right to raise the limit of open files.
pub(crate) const FIT: [&str; 3] =
    ["--cgroups=disabled", "--ulimit=nofile=20000:20000", "--ulimit=nproc=20000:20000"];

/// A private view of control groups, and of what podman keeps in /run. A port that is published on loopback is reached there.
const HOLD: &str = "mount --make-rprivate / && umount -R /sys/fs/cgroup && mount -t cgroup2 none /sys/fs/cgroup \
     && mount -t tmpfs none /run && mount -t tmpfs none /dev/shm && ip link set lo up \
     && echo 1 >/proc/sys/net/ipv4/conf/all/route_localnet && echo held && exec sleep infinity";

/// What the build goes by beside the Dockerfile: nothing is optimised, which takes a fraction of the time.
const HURRIED: &str =
    "[profile.release]\nopt-level = 0\nlto = false\ndebug = false\ncodegen-units = 256\nincremental = true\n";

/// The first build, which compiles everything, on two cores that have other work.
const BUILD: Duration = Duration::from_secs(780);

/// An engine of the test's own.
#[derive(Debug)]
pub(crate) struct Podman {
    /// The first process of its namespaces; with it all of them end.
    init: u32,
    _holder: Program,
    dir: TempDir,
}

impl Podman {
    /// Makes the namespaces, and removes what an earlier test that was killed left behind.
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let dir = settings()?;
        let mut hold = Command::new("setpriv");
        hold.args(["--pdeathsig", "KILL", "unshare", "--kill-child", "--mount", "--net", "--pid", "--fork"]);
        hold.args(["--mount-proc", "bash", "-c", HOLD]);
        let holder = Program::start(hold, program::Output::Stdout)?;
        eventually(DEADLINE, async || {
            ensure!(holder.lines() == ["held"], "namespaces take root: {}", holder.tail());
            Ok(())
        })
        .await?;
        let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", holder.pid()))?;
        let init = children.trim().parse().context("the first process")?;
        let podman = Self { init, _holder: holder, dir };
        podman.run(&["rm", "--force", "--all", "--time", "0"])?;
        podman.run(&["volume", "prune", "--force"])?;
        podman.run(&["network", "prune", "--force"])?;
        Ok(podman)
    }

    /// Builds the image of weir as it is built for others, but without optimisation. Only what changed is built anew.
    pub(crate) fn image(&self) -> anyhow::Result<()> {
        let sysroot = said(Command::new("rustc").args(["--print", "sysroot"]))?;
        // On the machine's own network, from where crates come; all else ends with the namespaces.
        let mut build = self.enter(&["--mount", "--pid"], "timeout".as_ref());
        build
            .arg("--kill-after=10")
            .arg(BUILD.as_secs().to_string())
            .arg(root().join(".ci/image"))
            .arg(IMAGE);
        // The base has no Rust of its own, and no other way to the registry of crates than this machine's.
        let cargo = self.dir.path().join("cargo.toml");
        fs::write(&cargo, HURRIED)?;
        build
            .arg(format!("--volume={}:/opt/rust:ro", sysroot.trim()))
            .arg("--volume=/etc/ssl/certs:/etc/ssl/certs:ro")
            .arg(format!("--volume={}:/usr/local/cargo/config.toml:ro", cargo.display()));
        build.args(["--isolation=chroot", "--network=host", "--pull=never"]);
        build.env("ENGINE", "podman").env("TMPDIR", tools("cache")?);
        said(&mut build).context("build the image").map(drop)
    }

    /// Starts a container as safely as it is meant to run, and gives its id.
    pub(crate) fn start_container(
        &self,
        name: &str,
        flags: &[&str],
        arguments: &[&str],
    ) -> anyhow::Result<String> {
        let run = [
            "run",
            "--detach",
            "--name",
            name,
            "--read-only",
            "--cap-drop=all",
            "--security-opt=no-new-privileges",
        ];
        Ok(self.run(&[&run[..], &FIT, flags, &[IMAGE], arguments].concat())?.trim().to_owned())
    }

    /// Calls podman, and gives what it answers.
    pub(crate) fn run(&self, arguments: &[&str]) -> anyhow::Result<String> {
        said(self.engine("podman").args(arguments)).with_context(|| format!("podman {arguments:?}"))
    }

    /// Calls podman, which may fail.
    pub(crate) fn output(&self, arguments: &[&str]) -> anyhow::Result<Output> {
        Ok(self.engine("podman").args(arguments).output()?)
    }

    /// Waits until the health check of a container succeeds. systemd would run it, which is not everywhere.
    pub(crate) async fn healthy(&self, container: &str) -> anyhow::Result<()> {
        let healthy = eventually(DEADLINE * 3, async || self.run(&["healthcheck", "run", container]));
        match healthy.await {
            Ok(_) => Ok(()),
            Err(error) => Err(error.context(self.run(&["logs", "--tail", "20", container])?)),
        }
    }

    /// What stands in a field of what podman knows of a container or an image.
    pub(crate) fn inspect(&self, name: &str, field: &str) -> anyhow::Result<String> {
        Ok(self.run(&["inspect", "--format", &format!("{{{{{field}}}}}"), name])?.trim().to_owned())
    }

    /// `podman-compose` with a file.
    pub(crate) fn compose(&self, file: &Path, arguments: &[&str]) -> anyhow::Result<String> {
        let mut compose = self.engine(tools("venv/bin/podman-compose")?);
        compose.arg("--file").arg(file).arg(format!("--podman-run-args={}", FIT.join(" "))).args(arguments);
        said(&mut compose).with_context(|| format!("podman-compose {arguments:?}"))
    }

    /// A program on the network of the containers, which sees their processes in /proc.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        self.enter(&["--mount", "--net"], program.as_ref())
    }

    /// The engine itself, which also has to be one of the processes that end with the namespaces.
    fn engine(&self, program: impl AsRef<OsStr>) -> Command {
        self.enter(&["--mount", "--net", "--pid"], program.as_ref())
    }

    fn enter(&self, namespaces: &[&str], program: &OsStr) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.init.to_string()]).args(namespaces).arg(program);
        program::without_settings(&mut command)
            .env("CONTAINERS_STORAGE_CONF", self.dir.path().join("storage.conf"))
            .env("CONTAINERS_CONF", self.dir.path().join("containers.conf"));
        command
    }
}

/// Where images are kept, and how containers find each other by name.
fn settings() -> anyhow::Result<TempDir> {
    let dir = tempfile::tempdir()?;
    let storage = tools("storage")?;
    let storage = format!(
        "[storage]\ndriver = \"overlay\"\nrunroot = \"/run/weir\"\ngraphroot = \"{}\"\n",
        storage.display()
    );
    fs::write(dir.path().join("storage.conf"), storage)?;
    let containers = "[network]\nnetwork_backend = \"netavark\"\n[engine]\ncgroup_manager = \"cgroupfs\"\n";
    fs::write(dir.path().join("containers.conf"), containers)?;
    Ok(dir)
}

/// Runs a program to its end, and gives what it answers.
pub(crate) fn said(command: &mut Command) -> anyhow::Result<String> {
    let output = command.output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "{}: {text}{}", output.status, String::from_utf8_lossy(&output.stderr));
    Ok(text.into_owned())
}

/// What `.ci/setup deploy` installed for this.
pub(crate) fn tools(path: &str) -> anyhow::Result<PathBuf> {
    let path = root().join(".tools/containers").join(path);
    ensure!(path.exists(), "{} is missing: run .ci/setup deploy", path.display());
    Ok(path)
}

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("it is in crates/weir").to_owned()
}

/// Whatever a test left running ends with the thread that ran it, as it does with a test that is killed.
#[test]
#[ignore = "make deploy-test"]
fn the_machine_stays_as_it_was() -> anyhow::Result<()> {
    let compose = fs::read_to_string(root().join("deploy/compose/compose.yaml"))?;
    let mut images = compose.lines().filter_map(|line| line.trim().strip_prefix("image: "));
    let image = images.find(|image| image.contains("redis")).context("an image that is there")?.to_owned();
    let before = machine()?;
    let (podman, namespace) = std::thread::spawn(move || {
        let waits = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let podman = waits.block_on(Podman::start())?;
        let serves = ["run", "--detach", "--publish=127.0.0.1:8080:8080"];
        podman.run(&[&serves[..], &FIT, &[&image, "sleep", "infinity"]].concat())?;
        ensure!(
            said(podman.command("iptables-save").args(["-t", "nat"]))?.contains("8080"),
            "nothing is published"
        );
        let namespace = fs::read_link(format!("/proc/{}/ns/net", podman.init))?;
        anyhow::Ok((podman, namespace))
    })
    .join()
    .expect("it does not panic")?;
    let waits = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    waits.block_on(eventually(DEADLINE, async || {
        for process in fs::read_dir("/proc")? {
            let there = fs::read_link(process?.path().join("ns/net"));
            ensure!(there.ok().as_ref() != Some(&namespace), "a process is left");
        }
        let after = machine()?;
        ensure!(after == before, "{before}\nbecame\n{after}");
        Ok(())
    }))?;
    drop(podman);
    Ok(())
}

/// What an engine changes where it has no namespaces of its own.
fn machine() -> anyhow::Result<String> {
    let mounts = fs::read_to_string("/proc/self/mounts")?;
    let links = said(Command::new("ip").args(["-brief", "address"]))?;
    let rules = said(&mut Command::new("iptables-save"))?;
    // The others are counters and the time.
    let rules: Vec<&str> = rules.lines().filter(|line| line.starts_with('-')).collect();
    Ok(format!("{mounts}{links}{}", rules.join("\n")))
}
