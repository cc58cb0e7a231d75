//! The command line: words of the form `--name value` and `--flag`.

use std::str::FromStr;

use crate::failure::Failure;

/// The words of a command line, taken out one by one.
pub struct Words(Vec<String>);

impl Words {
    /// All of them, without the program's name.
    pub fn new(words: Vec<String>) -> Self {
        Self(words)
    }

    /// Takes the first word out if it is a command: not an option. `--help` is one.
    pub fn command(&mut self) -> Option<String> {
        if self.flag("--help") || self.flag("-h") {
            return Some("help".to_owned());
        }
        let is_command = self.0.first().is_some_and(|word| !word.starts_with('-'));
        is_command.then(|| self.0.remove(0))
    }

    /// Whether `name` is there.
    pub fn flag(&mut self, name: &str) -> bool {
        let before = self.0.len();
        self.0.retain(|word| word != name);
        self.0.len() != before
    }

    /// The value after the last `name`: who calls us may put defaults in front.
    pub fn value<T: FromStr>(&mut self, name: &str) -> Result<Option<T>, Failure> {
        let mut value = None;
        while let Some(place) = self.0.iter().position(|word| word == name) {
            self.0.remove(place);
            if place >= self.0.len() {
                return Err(Failure::usage(format!("{name} needs a value")));
            }
            let text = self.0.remove(place);
            let parsed = text
                .parse()
                .map_err(|_| Failure::usage(format!("`{text}` is no value for {name}")))?;
            value = Some(parsed);
        }
        Ok(value)
    }

    /// The same, with commas.
    pub fn list<T: FromStr<Err = Failure>>(
        &mut self,
        name: &str,
    ) -> Result<Option<Vec<T>>, Failure> {
        let text = self.value::<String>(name)?;
        text.map(|text| text.split(',').map(str::parse).collect())
            .transpose()
    }

    /// The value after `name`, which must be there.
    pub fn needed<T: FromStr>(&mut self, name: &str) -> Result<T, Failure> {
        self.value(name)?
            .ok_or_else(|| Failure::usage(format!("{name} is needed")))
    }

    /// Refuses what nobody asked for.
    pub fn end(&self) -> Result<(), Failure> {
        match self.0.first() {
            None => Ok(()),
            Some(word) => Err(Failure::usage(format!("there is no option `{word}`"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_of_two_values_counts() {
        let words = ["--plimsoll", "a", "--plimsoll", "b"].map(str::to_owned);
        let mut words = Words::new(words.to_vec());
        assert!(
            words
                .value::<String>("--plimsoll")
                .is_ok_and(|it| it.as_deref() == Some("b"))
        );
        assert!(words.end().is_ok());
    }
}
