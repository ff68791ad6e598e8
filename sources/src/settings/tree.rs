//! JSON and YAML as values, with the lines of YAML's fields.
//!
//! Invariant: a name that stands twice in an object is refused, for nobody knows which is meant;
//! what is endless (aliases, depth, documents) is refused by its limits.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use serde_saphyr::Spanned;

use super::problem::{Lines, Path, Problems};

/// A document and the lines of its fields.
pub type Item = (Value, Lines);

/// How much YAML's aliases may repeat of a text, in values, before it counts as endless.
const REPEATED_MAX: usize = 50_000;

/// One value before its names are known to be single; `C` is what a value inside it is.
enum Bare<C> {
    Scalar(Value),
    List(Vec<C>),
    Object(Vec<(String, C)>),
}

/// A value inside another.
trait Child: Sized {
    /// The value and its line; 0 where there are none.
    fn split(self) -> (Bare<Self>, u64);
}

struct Json(Bare<Json>);
struct Yaml(Spanned<Bare<Yaml>>);

impl Child for Json {
    fn split(self) -> (Bare<Self>, u64) {
        (self.0, 0)
    }
}

impl Child for Yaml {
    fn split(self) -> (Bare<Self>, u64) {
        let line = self.0.referenced.line();
        (self.0.value, line)
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Bare::deserialize(from).map(Self)
    }
}

impl<'de> Deserialize<'de> for Yaml {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Spanned::deserialize(from).map(Self)
    }
}

impl<'de, C: Deserialize<'de>> Deserialize<'de> for Bare<C> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Any(PhantomData))
    }
}

struct Any<C>(PhantomData<C>);

impl<'de, C: Deserialize<'de>> Visitor<'de> for Any<C> {
    type Value = Bare<C>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text, a number, a list or an object")
    }

    fn visit_unit<E>(self) -> Result<Bare<C>, E> {
        Ok(Bare::Scalar(Value::Null))
    }

    fn visit_none<E>(self) -> Result<Bare<C>, E> {
        Ok(Bare::Scalar(Value::Null))
    }

    fn visit_some<D: Deserializer<'de>>(self, from: D) -> Result<Bare<C>, D::Error> {
        from.deserialize_any(self)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Bare<C>, E> {
        Ok(Bare::Scalar(Value::Bool(value)))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Bare<C>, E> {
        Ok(Bare::Scalar(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Bare<C>, E> {
        Ok(Bare::Scalar(value.into()))
    }

    // Printed in its shortest form, a number of up to 15 digits is what was written.
    fn visit_f64<E: Error>(self, value: f64) -> Result<Bare<C>, E> {
        let number = Number::from_f64(value).ok_or_else(|| E::custom("a number without end"))?;
        Ok(Bare::Scalar(Value::Number(number)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Bare<C>, E> {
        Ok(Bare::Scalar(value.into()))
    }

    fn visit_string<E>(self, value: String) -> Result<Bare<C>, E> {
        Ok(Bare::Scalar(value.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<Bare<C>, A::Error> {
        let mut list = Vec::new();
        while let Some(element) = from.next_element()? {
            list.push(element);
        }
        Ok(Bare::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<Bare<C>, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = from.next_entry()? {
            members.push(member);
        }
        Ok(Bare::Object(members))
    }
}

/// The value, its lines by path, and whatever name stands in it twice.
fn value<C: Child>(
    (bare, line): (Bare<C>, u64),
    at: &Path<'_>,
    lines: &mut Lines,
    problems: &mut Problems,
) -> Value {
    if line > 0 {
        lines.insert(at.to_string(), line);
    }
    match bare {
        Bare::Scalar(scalar) => scalar,
        Bare::List(list) => list
            .into_iter()
            .enumerate()
            .map(|(index, child)| value(child.split(), &at.element(index), lines, problems))
            .collect(),
        Bare::Object(members) => {
            let mut object = Map::new();
            for (name, child) in members {
                let held = value(child.split(), &at.member(&name), lines, problems);
                if object.contains_key(&name) {
                    problems.add(&at.member(&name), "stands here twice");
                }
                object.insert(name, held);
            }
            Value::Object(object)
        }
    }
}

/// The documents of a JSON text: one, or a list of them.
///
/// # Errors
/// Where it is no JSON.
pub fn json(text: &str, problems: &mut Problems) -> Result<Vec<Item>, String> {
    let root: Json = serde_json::from_str(text).map_err(|error| told(&error))?;
    Ok(items([root], problems))
}

/// The documents of a YAML text: any number, each of them one or a list.
///
/// # Errors
/// Where it is no YAML, or more than its limits allow.
pub fn yaml(text: &str, problems: &mut Problems) -> Result<Vec<Item>, String> {
    // A picture of the place would repeat the text; and somebody may be called No.
    let alias_limits = serde_saphyr::alias_limits! { max_total_replayed_events: REPEATED_MAX };
    let options = serde_saphyr::options! {
        with_snippet: false, strict_booleans: true, alias_limits: alias_limits
    };
    let roots = serde_saphyr::from_multiple_with_options::<Yaml>(text, options);
    Ok(items(roots.map_err(|error| told(&error))?, problems))
}

fn items<C: Child>(roots: impl IntoIterator<Item = C>, problems: &mut Problems) -> Vec<Item> {
    let mut items = Vec::new();
    let mut item = |root, problems: &mut Problems| {
        let mut lines = Lines::new();
        problems.begin(items.len(), Lines::new());
        let value = value(root, &Path::Root, &mut lines, problems);
        items.push((value, lines));
    };
    for root in roots {
        match root.split() {
            (Bare::List(list), _) => {
                list.into_iter().for_each(|child| item(child.split(), problems));
            }
            one => item(one, problems),
        }
    }
    items
}

/// The longest message of a parser that is passed on, in characters.
const MESSAGE_CHARS_MAX: usize = 300;

fn told(error: &dyn fmt::Display) -> String {
    error.to_string().chars().take(MESSAGE_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn yaml_has_lines_and_json_has_none() {
        let mut problems = Problems::default();
        let text = "a: 1\nb:\n  - c: no\n  - [2, 200.00]\n---\n- d: ~\n- e: true\n";
        let items = yaml(text, &mut problems).unwrap();
        let shown: Vec<String> = items.iter().map(|(value, _)| value.to_string()).collect();
        assert_eq!(
            shown,
            [r#"{"a":1,"b":[{"c":"no"},[2,200.0]]}"#, r#"{"d":null}"#, r#"{"e":true}"#]
        );
        let lines = &items[0].1;
        assert_eq!((lines["a"], lines["b[0].c"], lines["b[1][1]"]), (1, 3, 4));
        assert_eq!(items[2].1["e"], 7);
        let same = json(&shown[0], &mut problems).unwrap();
        assert_eq!(same, [(items[0].0.clone(), Lines::new())]);
        assert_eq!(problems.count(), 0);
    }

    #[test]
    fn what_is_said_twice_or_never_ends_is_refused() {
        let mut problems = Problems::default();
        json(r#"[{"a":1},{"a":{"b":1,"b":2}}]"#, &mut problems).unwrap();
        assert_eq!(problems.told()[0].to_string(), "item 1: a.b: stands here twice");
        let refused = |text: &str| yaml(text, &mut Problems::default()).unwrap_err();
        assert!(refused("a: 1\na: 2\n").contains("line 2"));
        let laughs = "a: &a [1,1,1,1,1,1,1,1,1]\n".to_owned()
            + &["a", "b", "c", "d", "e", "f", "g", "h"]
                .windows(2)
                .map(|two| {
                    format!(
                        "{1}: &{1} [{0},{0},{0},{0},{0},{0},{0},{0},{0}]\n",
                        ["*", two[0]].concat(),
                        two[1]
                    )
                })
                .collect::<String>();
        assert!(!refused(&laughs).is_empty());
        assert!(!refused(&"[".repeat(5_000)).is_empty());
        assert!(json(&"[".repeat(5_000), &mut problems).is_err());
        assert!(json("{\"a\":1e999}", &mut problems).is_err());
    }
}
