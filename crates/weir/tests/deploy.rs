//! What `deploy/` holds, proved by running it. What takes long, or needs programs that `make test` does not install, is
//! ignored here and run by `make deploy-test`.

#[path = "deploy/able.rs"]
mod able;
#[path = "deploy/alerts.rs"]
mod alerts;
#[path = "deploy/balancers.rs"]
mod balancers;
#[path = "deploy/cluster.rs"]
mod cluster;
#[path = "deploy/compose.rs"]
mod compose;
#[path = "deploy/dashboard.rs"]
mod dashboard;
#[path = "deploy/dashboards.rs"]
mod dashboards;
#[path = "deploy/demo.rs"]
mod demo;
#[path = "deploy/helm.rs"]
mod helm;
#[path = "deploy/helm_files.rs"]
mod helm_files;
#[path = "deploy/helm_redis.rs"]
mod helm_redis;
#[path = "deploy/hurried.rs"]
mod hurried;
#[path = "deploy/image.rs"]
mod image;
#[path = "deploy/outage.rs"]
mod outage;
#[path = "deploy/package.rs"]
mod package;
#[path = "deploy/paged.rs"]
mod paged;
#[path = "deploy/panels.rs"]
mod panels;
#[path = "deploy/podman.rs"]
mod podman;
#[path = "deploy/runbooks.rs"]
mod runbooks;
#[path = "deploy/settings_file.rs"]
mod settings_file;
#[path = "deploy/systemd.rs"]
mod systemd;
#[path = "deploy/traffic.rs"]
mod traffic;
