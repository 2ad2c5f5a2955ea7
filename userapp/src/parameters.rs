//! Parameters on the command line against those that the driver describes.

use std::{collections::BTreeMap, str::FromStr};

use syncstress_protocol::ParameterValue;

use crate::{
    catalog::{Item, Parameter},
    error::Error,
    selection::suggestions,
};

/// `NAME=VALUE`, as it was typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The parameter's name.
    pub name: String,
    /// Its value.
    pub value: u64,
}

impl FromStr for Setting {
    type Err = String;

    fn from_str(typed: &str) -> Result<Self, String> {
        let (name, value) = typed.split_once('=').ok_or("expected NAME=VALUE")?;
        let value = value
            .parse()
            .map_err(|error| format!("`{value}` is no number: {error}"))?;
        Ok(Self {
            name: name.to_owned(),
            value,
        })
    }
}

/// The parameters of one run: those that were set and those that have their default.
#[derive(Clone, Debug, Default)]
pub struct Values {
    /// What goes to the driver: those that were set.
    pub set: Vec<ParameterValue>,
    /// Every parameter with its value, by name.
    pub all: BTreeMap<String, u64>,
}

impl Values {
    /// These and `setting`, which was not among them.
    ///
    /// # Errors
    /// A usage error that names the range.
    pub fn with(mut self, item: &Item, setting: &Setting) -> Result<Self, Error> {
        let parameter = item.parameters.iter().find(|it| it.name == setting.name);
        if let Some(parameter) = parameter {
            self.put(item, parameter, setting.value)?;
        }
        Ok(self)
    }

    fn put(&mut self, item: &Item, parameter: &Parameter, value: u64) -> Result<(), Error> {
        check_range(item, parameter, value)?;
        self.set.push(ParameterValue {
            id: parameter.id,
            reserved: 0,
            value,
        });
        self.all.insert(parameter.name.clone(), value);
        Ok(())
    }
}

/// Refuses settings that none of `items` takes, and settings that are there twice.
///
/// # Errors
/// A usage error that names the parameters that there are.
pub fn check_names(items: &[&Item], settings: &[Setting]) -> Result<(), Error> {
    for (index, setting) in settings.iter().enumerate() {
        if settings[..index]
            .iter()
            .any(|earlier| earlier.name == setting.name)
        {
            return Err(Error::usage(
                format!("`{}` is set twice", setting.name),
                None,
            ));
        }
        let mut parameters = items.iter().flat_map(|item| &item.parameters);
        if !parameters.any(|parameter| parameter.name == setting.name) {
            return Err(no_such_parameter(items, &setting.name));
        }
    }
    Ok(())
}

fn no_such_parameter(items: &[&Item], name: &str) -> Error {
    let mut names: Vec<&str> = items
        .iter()
        .flat_map(|item| &item.parameters)
        .map(|it| it.name.as_str())
        .collect();
    names.sort_unstable();
    names.dedup();
    let near = suggestions(name, names.iter().copied());
    let hint = if names.is_empty() {
        "they take no parameters".to_owned()
    } else if near.is_empty() {
        format!("there are {}", names.join(", "))
    } else {
        format!("did you mean {}?", near.join(", "))
    };
    Error::usage(
        format!("none of the scenarios takes a parameter `{name}`"),
        hint,
    )
}

/// The values for a run of `item`: the settings that it takes, checked against the driver's ranges.
///
/// # Errors
/// A usage error that names the range.
pub fn values_for(item: &Item, settings: &[Setting]) -> Result<Values, Error> {
    let mut values = Values::default();
    for parameter in &item.parameters {
        let setting = settings
            .iter()
            .find(|setting| setting.name == parameter.name);
        match setting {
            Some(setting) => values.put(item, parameter, setting.value)?,
            None => drop(values.all.insert(parameter.name.clone(), parameter.default)),
        }
    }
    Ok(values)
}

fn check_range(item: &Item, parameter: &Parameter, value: u64) -> Result<(), Error> {
    let Parameter {
        name,
        unit,
        minimum,
        maximum,
        ..
    } = parameter;
    if (*minimum..=*maximum).contains(&value) {
        return Ok(());
    }
    let what = format!("`{name}` of {} cannot be {value}{unit}", item.name);
    Err(Error::usage(
        what,
        format!("it goes from {minimum}{unit} to {maximum}{unit}"),
    ))
}

#[cfg(test)]
mod tests {
    use syncstress_protocol::ItemKind;

    use super::*;
    use crate::catalog::samples;

    fn scenario() -> Item {
        let mut item = samples::item(7, ItemKind::Scenario, "resource.rw", false);
        item.parameters = vec![
            samples::parameter(1, "threads", 1..=64),
            samples::parameter(2, "seconds", 1..=600),
        ];
        item
    }

    fn settings(typed: &[&str]) -> Vec<Setting> {
        typed
            .iter()
            .map(|typed| typed.parse().expect("NAME=VALUE"))
            .collect()
    }

    #[test]
    fn what_is_set_goes_to_the_driver_and_defaults_are_recorded() {
        let values = values_for(&scenario(), &settings(&["seconds=5"])).unwrap();
        assert_eq!(values.set.len(), 1);
        assert_eq!((values.set[0].id, values.set[0].value), (2, 5));
        assert_eq!(values.all["threads"], 1);
        assert_eq!(values.all["seconds"], 5);
    }

    #[test]
    fn a_setting_can_be_added_within_its_range() {
        let item = scenario();
        let values = values_for(&item, &settings(&["threads=2"])).unwrap();
        let with = |typed| values.clone().with(&item, &settings(&[typed])[0]);
        let more = with("seconds=9").unwrap();
        assert_eq!((more.set.len(), more.all["seconds"]), (2, 9));
        assert!(with("seconds=601").is_err());
    }

    #[test]
    fn a_value_outside_the_range_is_refused_with_the_range() {
        let error = values_for(&scenario(), &settings(&["threads=65"])).unwrap_err();
        assert_eq!(error.hint(), Some("it goes from 1 to 64"));
        assert!(values_for(&scenario(), &settings(&["threads=0"])).is_err());
        assert!(values_for(&scenario(), &settings(&["threads=64"])).is_ok());
    }

    #[test]
    fn a_name_that_no_item_takes_is_refused_with_a_near_one() {
        let item = scenario();
        let error = check_names(&[&item], &settings(&["thread=3"])).unwrap_err();
        assert_eq!(error.hint(), Some("did you mean `threads`?"));
    }

    #[test]
    fn a_name_twice_is_refused() {
        let item = scenario();
        assert!(check_names(&[&item], &settings(&["threads=3", "threads=3"])).is_err());
        assert!(check_names(&[&item], &settings(&["threads=3", "seconds=3"])).is_ok());
    }

    #[test]
    fn a_setting_is_a_name_and_a_number() {
        assert!("threads".parse::<Setting>().is_err());
        assert!("threads=x".parse::<Setting>().is_err());
        assert!("threads=-1".parse::<Setting>().is_err());
        let setting = Setting {
            name: "threads".to_owned(),
            value: 4,
        };
        assert_eq!("threads=4".parse(), Ok(setting));
    }
}
