//! A configuration on its way from what is shipped to what a test runs.

use std::net::SocketAddr;

use anyhow::ensure;

/// How the instances stand in every configuration that is shipped, one on a line of its own: `weir-1:8080`, or as Envoy has it.
const NAME: &str = "weir-";
const PORT: &str = ":8080";
const ENVOY_PORT: &str = ", port_value: 8080";

/// Its text. Whatever is to be changed has to be there, so that a test cannot silently run something else.
#[derive(Debug)]
pub(super) struct Draft(pub(super) String);

impl Draft {
    /// Says something else wherever it said this.
    ///
    /// # Errors
    /// It does not say so anywhere.
    pub(super) fn change(&mut self, said: &str, says: &str) -> anyhow::Result<()> {
        ensure!(self.0.contains(said), "the configuration does not say {said:?}");
        self.0 = self.0.replace(said, says);
        Ok(())
    }

    /// Takes in what the configuration has behind `#name `, for whoever wants it.
    ///
    /// # Errors
    /// It has no such lines.
    pub(super) fn variant(&mut self, name: &str) -> anyhow::Result<()> {
        self.change(&format!("#{name} "), "")
    }

    /// Has the lines of the first instance once for each of these, instead of those of all.
    ///
    /// # Errors
    /// There is no such line.
    pub(super) fn instances(&mut self, addresses: &[SocketAddr]) -> anyhow::Result<()> {
        let mut text = String::new();
        let mut found = false;
        for line in self.0.lines() {
            let instance = instance(line);
            found |= instance.is_some();
            match instance {
                None => text.extend([line, "\n"]),
                Some("1") => addresses.iter().zip(1..).for_each(|(address, nth)| {
                    let line = line.replace(&format!("{NAME}1{PORT}"), &address.to_string());
                    let apart = format!("{}, port_value: {}", address.ip(), address.port());
                    let line = line.replace(&format!("{NAME}1{ENVOY_PORT}"), &apart);
                    text.push_str(&line.replace(&format!("{NAME}1"), &format!("{NAME}{nth}")));
                    text.push('\n');
                }),
                Some(_) => {}
            }
        }
        ensure!(found, "the configuration has no line of an instance");
        self.0 = text;
        Ok(())
    }
}

/// The number of the instance that this line is about; a comment is about none.
fn instance(line: &str) -> Option<&str> {
    let (before, after) = line.split_once(NAME)?;
    let number = after.split(|c: char| !c.is_ascii_digit()).next().filter(|number| !number.is_empty())?;
    (!before.trim_start().starts_with('#')).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft(text: &str) -> Draft {
        Draft(text.to_owned())
    }

    #[test]
    fn each_instance_has_the_lines_of_the_first() {
        let mut config = draft("# weir-1:8080\n server weir-1 weir-1:8080 a\n server weir-2 weir-2:8080 a\n");
        config.instances(&["127.0.0.1:1", "127.0.0.1:2"].map(|address| address.parse().unwrap())).unwrap();
        assert_eq!(config.0, "# weir-1:8080\n server weir-1 127.0.0.1:1 a\n server weir-2 127.0.0.1:2 a\n");
    }

    #[test]
    fn what_is_to_be_changed_has_to_be_there() {
        assert!(draft("listen 80;").change("listen 81;", "listen 82;").is_err());
        assert!(draft("# weir-1").instances(&[]).is_err());
    }
}
