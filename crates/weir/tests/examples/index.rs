//! Every example is whole: it stands in the table of `docs/examples/README.md`, says how it is started, is tested and is shown.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context as _, ensure};
use serde_json::Value;
use weir_testkit::page::{quoted, read, root, rows};

use crate::application::folder;
use crate::pictures::names;

/// The folders of `docs/examples`.
fn examples() -> anyhow::Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(root().join("docs/examples"))? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            names.insert(entry.file_name().into_string().ok().context("a name in UTF-8")?);
        }
    }
    Ok(names)
}

/// The tests of an example, with those in a folder of its own.
fn source(module: &str) -> anyhow::Result<String> {
    let mut source = read(&format!("crates/weir/tests/examples/{module}.rs"));
    let folder = root().join("crates/weir/tests/examples").join(module);
    for file in fs::read_dir(folder).into_iter().flatten() {
        source.push_str(&fs::read_to_string(file?.path())?);
    }
    Ok(source)
}

#[test]
fn the_table_names_every_example_and_no_other() -> anyhow::Result<()> {
    let page = read("docs/examples/README.md");
    let mut told = BTreeSet::new();
    for row in rows(&page) {
        let [name, _what, _features, command, _picture, test] = row[..] else {
            anyhow::bail!("a row of six cells, as those of the others: {row:?}")
        };
        let (name, link) = name.trim_matches('[').split_once("](").context("a link to its README")?;
        ensure!(link == format!("{name}/README.md)"), "{link} of {name}");
        let command = quoted(command).next().context("its command")?;
        let readme = read(&format!("docs/examples/{name}/README.md"));
        let start = format!("```\n{command}\n```");
        ensure!(readme.contains(&start), "the README of {name} says how it is started: {start}");
        let module = name.replace('-', "_");
        ensure!(quoted(test).eq([&*format!("crates/weir/tests/examples/{module}.rs")]), "{name}: {test}");
        told.insert(name.to_owned());
    }
    ensure!(told == examples()?, "in the table {told:?}, in the folder {:?}", examples()?);
    Ok(())
}

#[test]
fn every_example_starts_by_npm_is_tested_and_is_shown() -> anyhow::Result<()> {
    let (tests, page) = (read("crates/weir/tests/examples.rs"), read("docs/examples/README.md"));
    for name in examples()? {
        let package = fs::read_to_string(folder(&name).join("package.json")).with_context(|| name.clone())?;
        let package: Value = serde_json::from_str(&package).with_context(|| name.clone())?;
        ensure!(package["scripts"]["start"].is_string(), "{name}: npm start starts nothing");
        let needs = package["dependencies"].as_object().is_some_and(|packages| !packages.is_empty());
        let locked = folder(&name).join("package-lock.json").exists();
        ensure!(locked == needs, "{name}: {needs} that it needs packages, {locked} that it has a lock");
        let module = name.replace('-', "_");
        let path = format!("#[path = \"examples/{module}.rs\"]");
        ensure!(tests.contains(&path), "{name}: examples.rs has not {path}");
        // By this name `make pictures` finds it.
        ensure!(source(&module)?.contains("fn its_pictures("), "{name} has no test its_pictures");
        let readme = read(&format!("docs/examples/{name}/README.md"));
        for picture in names(&name) {
            ensure!(
                root().join("docs/images").join(&picture).exists(),
                "{picture} is missing: make pictures"
            );
            let shown = readme.contains(&picture) || page.contains(&picture);
            ensure!(shown, "{picture} is shown nowhere");
        }
    }
    Ok(())
}
