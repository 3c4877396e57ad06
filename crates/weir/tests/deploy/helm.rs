//! The Helm chart. There is no Kubernetes here: what it renders is held against the schemas of three of its versions, and the
//! settings in it against weir itself.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use anyhow::{Context as _, ensure};
use serde_json::Value;
use tempfile::TempDir;

use crate::able;

const WEIR: &str = env!("CARGO_BIN_EXE_weir");

/// The oldest that the chart says it is for, one between, and the newest that there are schemas of.
const VERSIONS: [&str; 3] = ["1.30", "1.33", "1.37"];

/// Sets of values: the examples that ship, beside each other as they are meant to be, and what they leave out.
pub(crate) const MATRIX: [&[&str]; 6] = [
    &["-f", "examples/trial.yaml"],
    &["-f", "examples/bundled-redis.yaml"],
    &["-f", "examples/production.yaml"],
    &[
        "-f",
        "examples/bundled-redis.yaml",
        "-f",
        "examples/ingress-nginx.yaml",
        "--set",
        "networkPolicy.enabled=true",
    ],
    &["-f", "examples/production.yaml", "-f", "examples/ingress-haproxy.yaml", "-f", "examples/gateway.yaml"],
    &["-f", "examples/trial.yaml", "-f", "REST"],
];

/// What no example has.
const REST: &str = r#"
fullnameOverride: a-name-that-is-so-long-that-with-what-follows-it-there-is-no-room
address: "[::]"
config: { anonymous: subscribe, shutdown-timeout: 2m, drain-window: 90s, metric-types: [a, b], proxy-protocol: true, trusted-proxy: ["fd00::/8"] }
tokens: { existingSecret: keys, secrets: [new, old], publicKeys: [ed25519.pem] }
admin: { existingSecret: ours, key: weir }
preStopSleepSeconds: 10
service: { type: LoadBalancer, port: 8443, annotations: { a: b } }
serviceAccount: { create: false, name: other }
podDisruptionBudget: { maxUnavailable: 25% }
podAnnotations: { a: b }
podLabels: { a: b }
imagePullSecrets: [{ name: pull }]
nodeSelector: { disk: ssd }
tolerations: [{ key: dedicated, operator: Exists }]
affinity: { nodeAffinity: {} }
topologySpreadConstraints: [{ maxSkew: 1, topologyKey: rack, whenUnsatisfiable: DoNotSchedule }]
extraVolumes: [{ name: more, secret: { secretName: more } }]
extraVolumeMounts: [{ name: more, mountPath: /more, readOnly: true }]
extraEnv: [{ name: WEIR_LOG, value: debug }]
"#;

/// Resources whose schemas are not those of Kubernetes itself, and the module with theirs.
const CUSTOM: [(&str, &str); 2] = [
    ("monitoring.coreos.com/v1", "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1"),
    ("gateway.networking.k8s.io/v1", "@kubernetes-models/gateway-api/gateway.networking.k8s.io/v1"),
];

#[test]
#[ignore = "make deploy-test"]
fn kubernetes_takes_what_is_rendered() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let mut custom = Vec::new();
    for (number, values) in MATRIX.into_iter().enumerate() {
        let lint = said(helm("lint", &dir, &[values, &["--strict"]].concat())?)?;
        ensure!(!lint.contains("[WARNING]"), "{values:?}: {lint}");
        let (own, other): (Vec<_>, Vec<_>) =
            render(&dir, values)?.into_iter().partition(|one| module(one).is_none());
        ensure!(!own.is_empty(), "{values:?} renders nothing");
        let text: Vec<String> = own.iter().map(Value::to_string).collect();
        fs::write(dir.path().join(format!("{number}.yaml")), text.join("\n---\n"))?;
        custom.extend(other);
    }
    let mut check = Command::new(tool("venv/bin/kubernetes-validate")?);
    check.args(["--strict", "--quiet"]);
    check.args(VERSIONS.iter().flat_map(|version| ["-k", version]));
    check.args((0..MATRIX.len()).map(|number| dir.path().join(format!("{number}.yaml"))));
    said(check.output()?)?;
    for kind in ["ServiceMonitor", "PrometheusRule", "HTTPRoute"] {
        ensure!(custom.iter().any(|one| one["kind"] == kind), "no {kind} was rendered");
    }
    custom_resources(&dir, &custom)?;
    able::not_run(
        "the Helm chart in a cluster, and its Ingresses behind their controllers",
        "no Kubernetes can be had here",
    );
    Ok(())
}

/// The compiler refuses a key that the type does not have, which the schemas of custom resources let pass.
fn custom_resources(dir: &TempDir, all: &[Value]) -> anyhow::Result<()> {
    let mut text = String::new();
    for (number, one) in all.iter().enumerate() {
        let module = module(one).context("a custom resource")?;
        let kind = one["kind"].as_str().context("a kind")?;
        text += &format!(
            "import {{ I{kind} as I{number} }} from \"{module}\";\nexport const one{number}: I{number} = {one};\n"
        );
    }
    let file = dir.path().join("custom.ts");
    fs::write(&file, text)?;
    // Where modules are looked for.
    std::os::unix::fs::symlink(tool("node_modules")?, dir.path().join("node_modules"))?;
    let mut tsc = Command::new(tool("node_modules/.bin/tsc")?);
    tsc.args(["--noEmit", "--strict", "--skipLibCheck", "--module", "nodenext", "--preserveSymlinks"])
        .arg(&file);
    said(tsc.output()?).map(drop)
}

fn module(resource: &Value) -> Option<&'static str> {
    CUSTOM.iter().find(|(version, _)| resource["apiVersion"] == *version).map(|(_, module)| *module)
}

#[test]
#[ignore = "make deploy-test"]
fn weir_takes_the_settings() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    for values in MATRIX {
        let etc = tempfile::tempdir()?;
        let all = render(&dir, values)?;
        let mounted = mounted(&all)?;
        for file in &mounted {
            let file = etc.path().join(file);
            fs::create_dir_all(file.parent().context("a folder")?)?;
            fs::write(
                &file,
                if file.ends_with("ed25519.pem") { ED25519 } else { "0123456789abcdef0123456789abcdef" },
            )?;
        }
        let toml = find(&all, "ConfigMap")?["data"]["weir.toml"].as_str().context("a file of settings")?;
        let file = etc.path().join("weir.toml");
        fs::write(&file, toml.replace("/etc/weir", &etc.path().display().to_string()))?;
        let mut weir = Command::new(WEIR);
        weir_testkit::program::without_settings(&mut weir).arg("config").arg("--config").arg(&file);
        let shown = said(weir.output()?).with_context(|| format!("{values:?}: {toml}"))?;
        for line in toml.lines() {
            let key = line.split(" = ").next().context("a key")?;
            ensure!(
                shown.lines().any(|shown| shown.starts_with(&format!("{key} = "))),
                "{key} is lost: {shown}"
            );
        }
    }
    Ok(())
}

/// The public half of the key in RFC 8032, 7.1, as PEM.
const ED25519: &str = "-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=
-----END PUBLIC KEY-----
";

/// The files that the pod finds in /etc/weir.
fn mounted(all: &[Value]) -> anyhow::Result<Vec<String>> {
    let volumes =
        find(all, "Deployment")?["spec"]["template"]["spec"]["volumes"].as_array().context("volumes")?;
    let sources = volumes[0]["projected"]["sources"].as_array().context("sources")?;
    let items = sources.iter().filter_map(|source| source["secret"]["items"].as_array()).flatten();
    Ok(items.filter_map(|item| Some(item["path"].as_str()?.to_owned())).collect())
}

#[test]
#[ignore = "make deploy-test"]
fn what_follows_from_the_values() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let trial = render(&dir, MATRIX[0])?;
    let pod =
        |all: &[Value]| Ok::<_, anyhow::Error>(find(all, "Deployment")?["spec"]["template"]["spec"].clone());
    // 5 s before SIGTERM, 25 s of weir's own, and 10 s.
    assert_eq!(pod(&trial)?["terminationGracePeriodSeconds"], 40);
    assert_eq!(pod(&render(&dir, MATRIX[5])?)?["terminationGracePeriodSeconds"], 140);
    assert_eq!(find(&trial, "Deployment")?["spec"]["replicas"], 1);
    ensure!(
        find(&trial, "PodDisruptionBudget").is_err(),
        "a budget for one pod would hold up the drain of its node"
    );
    let large = render(&dir, MATRIX[2])?;
    ensure!(
        find(&large, "Deployment")?["spec"].get("replicas").is_none(),
        "the autoscaler's number would be undone"
    );
    find(&large, "PodDisruptionBudget")?;
    let metrics: Vec<_> =
        find(&large, "HorizontalPodAutoscaler")?["spec"]["metrics"].as_array().context("metrics")?.clone();
    assert_eq!(metrics[0]["pods"]["metric"]["name"], "weir_clients");
    assert_eq!(metrics[0]["pods"]["target"]["averageValue"], "10000");
    let settings = find(&large, "ConfigMap")?["data"]["weir.toml"].as_str().context("settings")?.to_owned();
    // Four fifths of 2 GiB.
    ensure!(settings.contains("memory-limit = \"1638MiB\"\n"), "{settings}");
    // Other settings take other pods.
    let sum = |all: &[Value]| {
        Ok::<_, anyhow::Error>(
            find(all, "Deployment")?["spec"]["template"]["metadata"]["annotations"]["checksum/config"]
                .clone(),
        )
    };
    assert_eq!(sum(&trial)?, sum(&render(&dir, MATRIX[0])?)?);
    assert_ne!(sum(&trial)?, sum(&render(&dir, &[MATRIX[0], &["--set", "config.maxlen=7"]].concat())?)?);
    Ok(())
}

#[test]
#[ignore = "make deploy-test"]
fn what_is_wrong_is_refused_with_a_reason() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let redis = "redis.url=redis://r";
    for (values, reason) in [
        (&[][..], "say who may call"),
        (&["config.anonymous=none"], "several pods need a log that they share"),
        (
            &["config.anonymous=none", "replicas=1", "tokens.secrets={a}"],
            "say which one with tokens.existingSecret",
        ),
        (&["config.anonymous=none", redis, "redis.bundled.enabled=true"], "exclude each other"),
        (&["config.anonymous=none", redis, "redis.passwordKey=p"], "say which one with redis.existingSecret"),
        (
            &["config.anonymous=none", redis, "autoscaling.enabled=true", "autoscaling.cpuPercent=0"],
            "something to go by",
        ),
        (&["config.anonymous=none", redis, "config.drain-window=30s"], "clients are cut before their turn"),
        (
            &["config.anonymous=none", "redis.bundled.enabled=true", "redis.existingSecret=s"],
            "which entry of redis.existingSecret",
        ),
        // By the schema.
        (&["config.maxlenn=5"], "maxlenn"),
        (&["config.listen=0.0.0.0:80"], "listen"),
        (&["config.anonymous=everybody"], "config.anonymous"),
        (&["config.drain-window=soon"], "config.drain-window"),
        (&["replica=2"], "replica"),
        (&["replicas=0"], "replicas"),
        (&["redis.url=http://r"], "redis.url"),
        // It would stand in a ConfigMap.
        (&["redis.url=redis://:secret@r"], "redis.url"),
        (&["image.digest=latest"], "image.digest"),
        (&["redis.bundled.maxmemory=1Gi"], "redis.bundled.maxmemory"),
        (&["service.port=70000"], "service.port"),
        (&["resources.limit.memory=1Gi"], "limit"),
    ] {
        let flags: Vec<&str> = values.iter().flat_map(|value| ["--set", value]).collect();
        let refused = helm("template", &dir, &flags)?;
        let text = String::from_utf8_lossy(&refused.stderr);
        ensure!(!refused.status.success(), "{values:?} is taken");
        // Helm names the path with dots or slashes, by its version.
        ensure!(text.replace('/', ".").contains(reason), "{values:?}: {text}");
    }
    Ok(())
}

/// So a setting that the chart would refuse cannot be added unseen, and a chart cannot name one that is gone.
#[test]
fn the_schema_has_every_setting() -> anyhow::Result<()> {
    /// What other values set.
    const OWN: [&str; 8] = [
        "listen",
        "admin-listen",
        "admin-token-file",
        "redis",
        "redis-password-file",
        "redis-ca-file",
        "jwt-secret-file",
        "jwt-public-key-file",
    ];
    let page = fs::read_to_string(root().join("docs/configuration.md"))?;
    let (page, _) = page.split_once("\n## Commands that talk").context("the part about `weir serve`")?;
    let cells = page.lines().filter(|line| line.starts_with("| `--")).map(|line| line.split('|').nth(3));
    let keys = cells
        .filter_map(|key| key?.trim().strip_prefix('`')?.strip_suffix('`'))
        .filter(|key| !key.contains(' '));
    let documented: BTreeSet<&str> = keys.filter(|key| !OWN.contains(key)).collect();
    let schema: Value = serde_json::from_slice(&fs::read(chart().join("values.schema.json"))?)?;
    let settings = schema["properties"]["config"]["properties"].as_object().context("settings")?;
    let named: BTreeSet<&str> = settings.keys().map(String::as_str).collect();
    assert_eq!(named, documented, "`config` in values.schema.json beside docs/configuration.md");
    Ok(())
}

#[test]
fn the_chart_has_the_version_of_the_binary() -> anyhow::Result<()> {
    let text = fs::read_to_string(chart().join("Chart.yaml"))?;
    let version = env!("CARGO_PKG_VERSION");
    for line in [format!("version: {version}"), format!("appVersion: {version}")] {
        ensure!(text.lines().any(|there| there == line), "Chart.yaml has not the line {line}");
    }
    Ok(())
}

pub(crate) fn find<'a>(all: &'a [Value], kind: &str) -> anyhow::Result<&'a Value> {
    all.iter().find(|one| one["kind"] == kind).with_context(|| format!("no {kind}"))
}

/// All that the chart makes of these values.
pub(crate) fn render(dir: &TempDir, values: &[&str]) -> anyhow::Result<Vec<Value>> {
    let yaml = said(helm("template", dir, values)?)?;
    let mut python = Command::new(tool("venv/bin/python")?);
    python.args(["-c", "import json, sys, yaml\nfor one in yaml.safe_load_all(sys.stdin):\n    if one: print(json.dumps(one))"]);
    let mut python = python.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    python.stdin.take().context("its input")?.write_all(yaml.as_bytes())?;
    let json = said(python.wait_with_output()?)?;
    json.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
}

pub(crate) fn helm(command: &str, dir: &TempDir, values: &[&str]) -> anyhow::Result<Output> {
    let rest = dir.path().join("rest.yaml");
    fs::write(&rest, REST)?;
    let mut helm = Command::new(tool("venv/bin/helm")?);
    // Nothing of whoever runs this.
    helm.env("HELM_CONFIG_HOME", dir.path())
        .env("HELM_CACHE_HOME", dir.path())
        .env("HELM_DATA_HOME", dir.path());
    helm.current_dir(chart()).arg(command);
    if command == "template" {
        helm.arg("test");
    }
    helm.arg(".");
    let rest = rest.to_str().context("a path of text")?;
    helm.args(values.iter().map(|value| if *value == "REST" { rest } else { value }));
    helm.output().context("run helm")
}

pub(crate) fn said(output: Output) -> anyhow::Result<String> {
    let text = String::from_utf8(output.stdout)?;
    ensure!(output.status.success(), "{}: {}{text}", output.status, String::from_utf8_lossy(&output.stderr));
    Ok(text)
}

pub(crate) fn chart() -> PathBuf {
    root().join("deploy/helm/weir")
}

/// What `.ci/setup deploy` installed for this.
pub(crate) fn tool(path: &str) -> anyhow::Result<PathBuf> {
    let path = root().join(".tools/kubernetes").join(path);
    ensure!(path.exists(), "{} is missing: run .ci/setup deploy", path.display());
    Ok(path)
}

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}
