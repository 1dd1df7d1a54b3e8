use super::*;
use crate::differences;
use crate::{Kind, Range, value};

const fn key(name: &'static str, kind: Kind, preset: Preset) -> Key {
    Key { name, kind, preset, meaning: "a test", changes_training: true }
}

const ROOT: &[Key] = &[key("from", Kind::Text, Preset::Required)];
const DATA: &[Key] =
    &[key("size", Kind::SIDES, Preset::Data("found")), key("depth", Kind::COUNT, Preset::DataOr("found", "8"))];
const OVEN: &[Key] = &[key("heat", Kind::POSITIVE, Preset::Value("180"))];
const PAN: &[Key] = &[
    key("heat", Kind::POSITIVE, Preset::Value("3")),
    key(
        "oil",
        Kind::Number(Range::Within(0.0, 1.0)),
        Preset::Derived("half the heat", |s| value(s.value("stove.heat")?.as_float()? / 2.0)),
    ),
];
const GROUP: &[Key] = &[
    key("count", Kind::COUNT, Preset::Required),
    key("size", Kind::SIDES, Preset::Derived("data.size", |s| s.value("data.size"))),
];

/// A kitchen: nothing of it knows images.
fn schema() -> Schema {
    let variants = vec![
        Variant { name: "oven", family: "oven", keys: &[OVEN] },
        Variant { name: "steam_oven", family: "oven", keys: &[OVEN] },
        Variant { name: "pan", family: "pan", keys: &[PAN] },
    ];
    let by_depth = NamePreset::Derived("pan where it is shallow, else oven", |s| {
        Some(if s.count("data.depth")? < 8 { "pan" } else { "oven" })
    });
    let stoves = Choices { noun: "stove", meaning: "what cooks", preset: by_depth, variants };
    let one = |settled: &Settled| {
        settled.count("data.size")?;
        "a = [{ count = 2 }]".parse::<Table>().ok()?.remove("a")
    };
    let parts = vec![
        Part::new("", ROOT),
        Part::new("data", DATA),
        Part::new("stove", &[]).with_choices(stoves),
        Part::new("plates.*", GROUP).with_list(one),
    ];
    Schema::new(parts, &[("stove", "stove.name")])
}

fn draft<'s>(schema: &'s Schema, text: &str, arguments: &[&str]) -> Result<Draft<'s>, DataError> {
    let recipe = Recipe { name: "my.toml".into(), text: text.into() };
    let arguments: Vec<String> = arguments.iter().map(|word| (*word).to_owned()).collect();
    Draft::new(schema, Some(&recipe), &arguments)
}

#[test]
fn what_follows_is_filled_in_as_soon_as_it_follows() {
    let schema = schema();
    let mut draft = draft(&schema, "from = 'x'", &["stove=Pan", "stove.heat=1"]).unwrap();
    let error = draft.clone().resolve(false).unwrap_err().to_string();
    assert_eq!(error, "data.size: missing: a test");
    assert_eq!(draft.read::<Table>("stove").unwrap()["oil"].as_float(), Some(0.5));
    assert!(draft.read::<Value>("plates").unwrap().as_table().is_some_and(Table::is_empty), "not before the size");
    let mut told = draft.clone();
    told.add_facts("data", &"size = 8\ndepth = 16".parse().unwrap());
    assert_eq!(told.resolve(false).unwrap().table("data")["depth"].as_integer(), Some(16));
    draft.add_facts("data", &"size = 8".parse().unwrap());
    let resolved = draft.resolve(false).unwrap();
    assert_eq!(resolved.table("data")["depth"].as_integer(), Some(8), "no data told it");
    let plates = resolved.list::<Table>("plates").unwrap();
    assert_eq!((plates.len(), plates[0]["size"].as_integer()), (1, Some(8)));
    assert_eq!(resolved.choice("stove").name, "pan");
    let origin = |path: &str| resolved.origin(path).unwrap().to_string();
    assert_eq!(["stove.heat", "stove.oil", "data.size"].map(origin), ["arguments", "half the heat", "data"]);
}

#[test]
fn one_family_keeps_its_keys_and_another_drops_them() {
    let schema = schema();
    let text = "from = 'x'\n[stove]\nname = 'oven'\nheat = 200";
    let heat = |arguments: &[&str]| {
        let draft = draft(&schema, text, arguments).unwrap();
        (draft.read::<Table>("stove").unwrap()["heat"].as_float(), draft.notes.len())
    };
    assert_eq!(heat(&["stove=steam-oven"]), (Some(200.0), 0));
    assert_eq!(heat(&["stove=pan"]), (Some(3.0), 1));
}

#[test]
fn keys_of_what_the_data_choose_are_checked_as_soon_as_they_have() {
    let schema = schema();
    let chosen = |depth: &str| {
        let mut draft = draft(&schema, "from = 'x'", &["stove.oil=1", "data.size=8"]).unwrap();
        draft.add_facts("data", &format!("depth = {depth}").parse().unwrap());
        draft.resolve(false).map(|resolved| resolved.choice("stove"))
    };
    let pan = chosen("2").unwrap();
    assert_eq!((pan.name.as_str(), pan.keys["oil"].as_float()), ("pan", Some(1.0)));
    let error = chosen("16").unwrap_err().to_string();
    assert!(error.contains("a key of stove `pan`, which `oven` does not read"), "{error}");
    let error = draft(&schema, "from = 'x'", &["stove.haet=1"]).unwrap_err().to_string();
    assert!(error.starts_with("stove.haet: unknown key; did you mean `stove.heat`?"), "{error}");
}

#[test]
fn a_plan_of_a_run_that_lacks_a_fact_says_so() {
    let schema = schema();
    let error = draft(&schema, "from = 'x'", &[]).unwrap().resolve(true).unwrap_err().to_string();
    assert!(error.starts_with("data.size: missing: a test; a run's plan states it: put the line back"), "{error}");
    let error =
        draft(&schema, "[[plates]]\nsize = 8", &["data.size=8"]).unwrap().resolve(true).unwrap_err().to_string();
    assert!(error.starts_with("from: missing: a test") && !error.contains("put the line back"), "{error}");
}

#[test]
fn an_identity_from_before_a_key_was_there_is_completed() {
    let schema = schema();
    let text = "from = 'x'\n[stove]\nname = 'pan'\nheat = 1\n[[plates]]\ncount = 2\n[[plates]]\ncount = 3";
    let plan = draft(&schema, text, &["data.size=8"]).unwrap().resolve(false).unwrap().table("");
    let now = schema.identity(&plan);
    assert_eq!(schema.completed(&now, &plan).as_ref(), Some(&now));
    // In lists too, whatever a preset follows from.
    let without = |keys: &[&str]| {
        let mut before = Node::new(Value::Table(now.clone()), &Origin::Default);
        keys.iter().for_each(|key| before.remove(key));
        before.into_value().try_into::<Table>().unwrap()
    };
    let completed = schema.completed(&without(&["stove.oil", "plates.1.size", "data.depth"]), &plan);
    assert_eq!(completed.as_ref(), Some(&now));
    // What is not preset is no key that an older version had without saying so.
    let completed = schema.completed(&without(&["stove.heat"]), &plan).unwrap();
    assert_eq!(differences(&completed, &now), ["stove.heat 3.0 → 1.0"]);
    // There was more, or what must be given is not there.
    let other = draft(&schema, text, &["data.size=8", "stove=oven"]).unwrap().resolve(false).unwrap().table("");
    assert_eq!(schema.completed(&now, &other), None);
    assert_eq!(schema.completed(&without(&["from"]), &plan), None);
}
