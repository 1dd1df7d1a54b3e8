//! Tables as other tools write them (`tables/make.py`).

use selfsame_data::dataset::Dataset;
use selfsame_data::settings::DataRequest;
use std::path::{Path, PathBuf};

fn table(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tables").join(name)
}

fn refused(name: &str) -> String {
    let path = table(name);
    let error = Dataset::open(&DataRequest::new(&path)).err().expect(name).to_string();
    assert!(!error.contains('\n'), "{error}");
    error.replace(&path.display().to_string(), name)
}

/// Samples, labels and notes of a table.
fn told(name: &str) -> (Vec<String>, Vec<Option<u32>>, Vec<String>, toml::Table) {
    let path = table(name);
    let data = Dataset::open(&DataRequest::new(&path)).unwrap();
    let sample = |index: usize| format!("{:?}", data.sample(index).unwrap().pixels);
    let notes = data.notes().iter().map(|note| note.replace(&path.display().to_string(), "the table"));
    let mut facts = data.facts(&toml::Table::new()).unwrap();
    facts.remove("fingerprint");
    let all = 0..data.len();
    (all.clone().map(sample).collect(), all.map(|index| data.label(index)).collect(), notes.collect(), facts)
}

#[test]
fn parquet_is_what_the_same_table_is_as_text() {
    let text = told("mixed.csv");
    let columns = ["f64\t", "f32\t", "i8", "u16\t", "i64", "flag\t", "color\tblue\tred\t", "word\tb\té, x"];
    let found: Vec<&str> =
        text.3["columns"].as_array().unwrap().iter().map(|column| column.as_str().unwrap()).collect();
    assert_eq!(found, columns);
    assert_eq!(text.1, [0, 1, 0, 1, 0, 1].map(Some));
    assert!(text.2.iter().any(|note| note.contains("empty: no value in any row")), "{:?}", text.2);
    assert_eq!(text.0[0], "F32([1.5, 0.0, 0.1, 0.0, 1.0, 1.0, 0.0, 9.0, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1.0])");
    for name in ["mixed.parquet", "plain.parquet"] {
        assert_eq!(told(name), text, "{name}");
    }
}

#[test]
fn what_of_parquet_is_no_table_of_values_is_refused() {
    assert!(refused("nested.parquet").starts_with("nested.parquet: column `pair` holds lists or groups"));
    assert!(refused("zstd.parquet").contains("zstd.parquet: is compressed with ZSTD"));
    assert!(refused("dates.parquet").contains("column `when` holds text, 3 different values in 3 rows"));
    let folder = tempfile::tempdir().unwrap();
    let bytes = std::fs::read(table("mixed.parquet")).unwrap();
    let path = folder.path().join("cut.parquet");
    std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    let error = Dataset::open(&DataRequest::new(&path)).err().unwrap().to_string();
    assert!(error.starts_with(&path.display().to_string()) && !error.contains('\n'), "{error}");
}
