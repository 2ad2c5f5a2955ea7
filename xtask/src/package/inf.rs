//! Reading an INF file: sections, lines, keys and values, and the strings that stand in them.
//!
//! Crates for INI files do not fit: in an INF a line need not have a key, keys repeat, values are
//! lists, and a section that occurs twice is one. Page: General Syntax Rules for INF Files.

use std::borrow::Cow;

/// An INF file.
#[derive(Debug)]
pub struct Inf {
    sections: Vec<Section>,
}

/// A section.
#[derive(Debug)]
pub struct Section {
    /// Its name as it is spelt. Upper and lower case are the same.
    pub name: String,
    /// Its entries in order.
    pub lines: Vec<Line>,
}

/// An entry.
#[derive(Debug, PartialEq, Eq)]
pub struct Line {
    /// Where it begins in the file, counted from one.
    pub number: usize,
    /// What stands before the equals sign, if there is one.
    pub key: Option<String>,
    /// What stands after it, or in the line.
    pub values: Vec<String>,
}

/// What cannot be read.
#[derive(Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// The line, counted from one.
    pub number: usize,
    /// Why.
    pub why: &'static str,
}

impl Inf {
    /// Reads the text of an INF file.
    pub fn parse(text: &str) -> Result<Self, Unreadable> {
        let mut sections: Vec<Section> = Vec::new();
        let mut current = None;
        for (number, line) in logical_lines(text) {
            let error = |why| Unreadable { number, why };
            let line = line.trim();
            if let Some(rest) = line.strip_prefix('[') {
                let name = rest
                    .strip_suffix(']')
                    .ok_or_else(|| error("a section's name ends with ]"))?;
                current = Some(Self::enter(&mut sections, name.trim()));
            } else if !line.is_empty() {
                let at = current.ok_or_else(|| error("it is in no section"))?;
                let entry = entry(number, line).ok_or_else(|| error("a quote is not closed"))?;
                sections[at].lines.push(entry);
            }
        }
        Ok(Self { sections })
    }

    fn enter(sections: &mut Vec<Section>, name: &str) -> usize {
        let known = sections
            .iter()
            .position(|section| section.name.eq_ignore_ascii_case(name));
        known.unwrap_or_else(|| {
            sections.push(Section {
                name: name.to_owned(),
                lines: Vec::new(),
            });
            sections.len() - 1
        })
    }

    /// All sections, in the order in which they begin.
    pub fn sections(&self) -> &[Section] {
        &self.sections
    }

    /// The section of this name.
    pub fn section(&self, name: &str) -> Option<&Section> {
        self.sections
            .iter()
            .find(|section| section.name.eq_ignore_ascii_case(name))
    }

    /// The first value of a key, with its strings put in.
    pub fn value(&self, section: &str, key: &str) -> Option<String> {
        let line = self.section(section)?.line(key)?;
        line.values.first().map(|value| self.expand(value))
    }

    /// The sections of models: each of the section Manufacturer's entries names one, and the systems
    /// that it is decorated with.
    pub fn model_sections(&self) -> Vec<&Section> {
        let manufacturers = self.section("Manufacturer");
        let lines = manufacturers.into_iter().flat_map(|section| &section.lines);
        let names = lines.flat_map(|line| {
            let name = line.values.first().cloned().unwrap_or_default();
            let decorated = line.values.iter().skip(1);
            let decorated: Vec<_> = decorated.map(|it| format!("{name}.{it}")).collect();
            std::iter::once(name).chain(decorated)
        });
        names.filter_map(|name| self.section(&name)).collect()
    }

    /// Puts the strings of the section Strings in for `%name%`; `%%` is a percent sign. A name that is
    /// not there (a number of a folder, say) stays.
    pub fn expand(&self, text: &str) -> String {
        let mut result = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('%') {
            result.push_str(before);
            let Some((name, after)) = after.split_once('%') else {
                result.push('%');
                rest = after;
                continue;
            };
            result.push_str(&self.string(name));
            rest = after;
        }
        result + rest
    }

    fn string<'a>(&'a self, name: &str) -> Cow<'a, str> {
        if name.is_empty() {
            return "%".into();
        }
        let line = self.section("Strings").and_then(|it| it.line(name));
        line.and_then(|line| line.values.first())
            .map_or_else(|| format!("%{name}%").into(), |text| text.as_str().into())
    }
}

impl Section {
    /// The entry with this key.
    pub fn line(&self, key: &str) -> Option<&Line> {
        self.lines.iter().find(|line| {
            line.key
                .as_ref()
                .is_some_and(|present| present.eq_ignore_ascii_case(key))
        })
    }
}

/// The lines without their comments, those that end with a backslash joined with the next.
fn logical_lines(text: &str) -> Vec<(usize, String)> {
    let mut result: Vec<(usize, String)> = Vec::new();
    let mut continued = false;
    for (number, line) in (1..).zip(text.lines()) {
        let line = without_comment(line).trim_end();
        let (line, goes_on) = line
            .strip_suffix('\\')
            .map_or((line, false), |line| (line, true));
        match result.last_mut() {
            Some((_, previous)) if continued => previous.push_str(line),
            _ => result.push((number, line.to_owned())),
        }
        continued = goes_on;
    }
    result
}

fn without_comment(line: &str) -> &str {
    outside_quotes(line)
        .find(|&(_, character)| character == ';')
        .map_or(line, |(at, _)| &line[..at])
}

fn outside_quotes(text: &str) -> impl Iterator<Item = (usize, char)> {
    let mut quoted = false;
    text.char_indices().filter(move |&(_, character)| {
        if character == '"' {
            quoted = !quoted;
        }
        !quoted
    })
}

fn entry(number: usize, line: &str) -> Option<Line> {
    if !line.matches('"').count().is_multiple_of(2) {
        return None;
    }
    let equals = outside_quotes(line)
        .find(|&(_, character)| character == '=')
        .map(|(at, _)| at);
    let (key, list) = equals.map_or((None, line), |at| {
        (Some(unquoted(&line[..at])), &line[at + 1..])
    });
    let mut values = Vec::new();
    let mut start = 0;
    let commas = outside_quotes(list).filter(|&(_, character)| character == ',');
    for (at, _) in commas.chain([(list.len(), ',')]) {
        values.push(unquoted(&list[start..at]));
        start = at + 1;
    }
    Some(Line {
        number,
        key,
        values,
    })
}

/// Takes the quotes off; two of them within are one.
fn unquoted(text: &str) -> String {
    let text = text.trim();
    let inner = text
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'));
    inner.map_or_else(|| text.to_owned(), |inner| inner.replace("\"\"", "\""))
}

#[cfg(test)]
mod tests {
    use super::{Inf, Unreadable};

    fn parsed(text: &str) -> Inf {
        Inf::parse(text).expect("it reads")
    }

    #[test]
    fn entries_have_keys_and_lists_or_only_lists() {
        let inf = parsed("; first\n[Some]\nKey = one, \"two; still, two\" ; comment\nlone.sys\n");
        let lines = &inf.section("some").expect("the section").lines;
        assert_eq!(lines[0].key.as_deref(), Some("Key"));
        assert_eq!(lines[0].values, ["one", "two; still, two"]);
        assert_eq!(lines[0].number, 3);
        assert_eq!(
            (&lines[1].key, &lines[1].values[..]),
            (&None, &["lone.sys".into()][..])
        );
    }

    #[test]
    fn a_backslash_continues_a_line_and_a_section_may_go_on_later() {
        let inf = parsed("[A]\nx = 1, \\\n  2\n[B]\ny=1\n[a]\nz = 3\n");
        let section = inf.section("A").expect("the section");
        assert_eq!(section.line("X").expect("the line").values, ["1", "2"]);
        assert_eq!(section.line("z").expect("the line").values, ["3"]);
        assert_eq!(inf.sections().len(), 2);
    }

    #[test]
    fn strings_are_put_in_and_folder_numbers_stay() {
        let inf =
            parsed("[A]\nk = %Name% at 5%%, %13%\\x.sys\n[Strings]\nname = \"the \"\"one\"\"\"\n");
        assert_eq!(inf.value("A", "k").as_deref(), Some("the \"one\" at 5%"));
        assert_eq!(inf.expand("%13%\\x.sys"), "%13%\\x.sys");
        assert_eq!(inf.expand("5% of"), "5% of");
    }

    #[test]
    fn what_cannot_be_read_says_where() {
        let why = |text: &str| Inf::parse(text).expect_err("it does not read");
        assert_eq!(why("[A]\n[B\n").number, 2);
        assert_eq!(why("x = 1").number, 1);
        let open = Unreadable {
            number: 2,
            why: "a quote is not closed",
        };
        assert_eq!(why("[A]\nx = \"1\n"), open);
    }
}
