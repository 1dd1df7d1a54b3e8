//! What is no encoder, or none that is known, is told in one line; and nothing in a file is run.

use safetensors::tensor::{Dtype, TensorView};
use selfsame_interop::import::{About, Imported, open, parse};
use selfsame_interop::names::STYLES;
use selfsame_interop::network::{Network, ResNet};
use selfsame_interop::{FORMATS, Graph, read};
use std::collections::BTreeMap;
use std::fs;
use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../selfsame/tests/golden/import")
}

fn parsed(bytes: &[u8]) -> Result<Imported, String> {
    let result = parse(bytes, &About::default());
    if let Err(error) = &result {
        assert!(!error.contains('\n') && !error.is_empty(), "{error:?}");
    }
    result
}

/// A safetensors file of zeros of these shapes.
fn zeros(shapes: &BTreeMap<String, Vec<usize>>) -> Vec<u8> {
    let most = shapes.values().map(|shape| shape.iter().product::<usize>()).max().unwrap_or(0);
    let bytes = vec![0; 4 * most];
    let views = shapes.iter().map(|(name, shape)| {
        let count = shape.iter().product::<usize>();
        (name, TensorView::new(Dtype::F32, shape.clone(), &bytes[..4 * count]).unwrap())
    });
    safetensors::serialize(views, None).unwrap()
}

/// A zip archive as torch.save writes it, of this pickle and one storage.
fn archive(pickle: &[u8]) -> Vec<u8> {
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    let stored = SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    for (name, data) in [("archive/data.pkl", pickle), ("archive/data/0", &[0; 16])] {
        archive.start_file(name, stored).unwrap();
        archive.write_all(data).unwrap();
    }
    archive.finish().unwrap().into_inner()
}

#[test]
fn code_is_refused_by_name_and_not_run() {
    let folder = tempfile::tempdir().unwrap();
    let owned = folder.path().join("owned");
    let command = format!("touch {}", owned.display());
    let text = |text: &str| [&[b'X'][..], &(text.len() as u32).to_le_bytes(), text.as_bytes()].concat();
    // What `__reduce__` leaves: a function and its arguments, to be called by whoever loads the file.
    let call = [&b"\x80\x02cposix\nsystem\n("[..], &text(&command), b"tR."].concat();
    let old =
        [&b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03.\x80\x02}."[..], &call].concat();
    for bytes in [archive(&call), old] {
        let error = parsed(&bytes).unwrap_err();
        assert!(error.contains("posix.system") && error.contains("not run"), "{error}");
    }
    // A whole network instead of its weights.
    let object = archive(b"\x80\x02ctorchvision.models.resnet\nResNet\n)\x81.");
    assert!(parsed(&object).unwrap_err().contains("torchvision.models.resnet.ResNet"));
    assert!(!owned.exists());
}

#[test]
fn files_that_are_cut_off_are_told() {
    for file in ["moco-legacy.pth.tar", "windows-gray.pt", "f16.safetensors", "torchvision-vit.pth"] {
        let whole = fs::read(golden().join(file)).unwrap();
        assert!(parsed(&whole).is_ok());
        for part in [0, 1, 8, 100, whole.len() / 3, whole.len() / 2, whole.len() - 1] {
            assert!(parsed(&whole[..part]).is_err(), "{file}, {part} bytes of {}", whole.len());
        }
    }
}

#[test]
fn a_bit_that_turned_is_told_by_the_checksums_of_an_archive() {
    let mut bytes = fs::read(golden().join("windows-gray.pt")).unwrap();
    assert!(parsed(&bytes).is_ok());
    // Amid the numbers of the first tensor.
    let name = b"data/0";
    let start = bytes.windows(name.len()).position(|part| part == name).unwrap();
    bytes[start + 200] ^= 1;
    let error = parsed(&bytes).unwrap_err();
    assert!(error.contains("hecksum") && error.contains("fetch it again"), "{error}");
    // What torch.save writes where it makes no checksums: nothing tells the bit then.
    let places: Vec<usize> = (0..bytes.len() - 4).filter(|&at| bytes[at..].starts_with(b"PK\x01\x02")).collect();
    places.iter().for_each(|at| bytes[at + 16..at + 20].fill(0));
    assert!(parsed(&bytes).is_ok());
}

#[test]
fn networks_that_are_not_known_are_told_by_what_differs_and_what_is_nearest() {
    let resnet = |blocks: [usize; 4], widths: [usize; 4]| {
        let widths = widths.to_vec();
        let norm = selfsame_interop::network::Norm::Batch;
        Network::ResNet(ResNet {
            widths,
            blocks: blocks.into(),
            bottleneck: true,
            imagenet_stem: true,
            norm,
            in_time: false,
        })
        .shapes(3, [224; 2])
    };
    // A wide one, one with more blocks, one with a gate in its blocks.
    let error = parsed(&zeros(&resnet([3, 4, 6, 3], [8, 16, 32, 64]))).unwrap_err();
    assert!(error.contains("nearest is resnet50, but its ") && error.contains("expected"), "{error}");
    let error = parsed(&zeros(&resnet([3, 4, 22, 3], [1, 1, 1, 1]))).unwrap_err();
    assert!(error.contains("nearest is resnet101, but it lacks layer3.22."), "{error}");
    let mut gated = resnet([1, 1, 1, 1], [1, 1, 1, 1]);
    gated.insert("layer1.0.se.fc1.weight".into(), vec![1, 1]);
    let error = parsed(&zeros(&gated)).unwrap_err();
    assert!(error.contains("layer1.0.se.fc1.weight besides"), "{error}");
    // Another family; nothing.
    let other = BTreeMap::from([("features.0.0.weight".to_owned(), vec![1, 3, 3, 3])]);
    assert!(parsed(&zeros(&other)).unwrap_err().contains("it begins with features.0.0.weight"));
    assert!(parsed(&zeros(&BTreeMap::new())).unwrap_err().contains("no tensors"));
}

#[test]
fn transformers_with_parts_that_ours_lack_are_told() {
    let folder = golden().join("timm");
    let bytes = fs::read(folder.join("model.safetensors")).unwrap();
    let mut shapes: BTreeMap<String, Vec<usize>> =
        read::state_dict(&bytes).unwrap().into_iter().map(|(name, entry)| (name, entry.shape().to_vec())).collect();
    for (name, shape, part) in [
        ("dist_token", vec![1, 1, 8], "a distillation token (dist_token), which is not known"),
        ("blocks.0.mlp.w12.weight", vec![64, 8], "gates in its blocks (SwiGLU), which is not known"),
        ("blocks.0.attn.q_norm.weight", vec![8], "blocks.0.attn.q_norm.weight besides"),
        ("pos_embed", vec![1, 8, 8], "8 tokens"),
        ("norm.weight", vec![9], "norm.weight is [9], expected [8]"),
        ("patch_embed.proj.weight", vec![8, 3, 8, 9], "expected [8, 3, 8, 8]"),
        ("norm.bias", vec![0], "no weight's"),
    ] {
        let before = shapes.insert(name.to_owned(), shape);
        let error = parsed(&zeros(&shapes)).unwrap_err();
        assert!(error.contains(part), "{error}");
        match before {
            Some(before) => drop(shapes.insert(name.to_owned(), before)),
            None => drop(shapes.remove(name)),
        }
    }
    shapes.remove("blocks.1.attn.qkv.bias");
    assert!(parsed(&zeros(&shapes)).unwrap_err().contains("it lacks blocks.1.attn.qkv.bias"));
}

#[test]
fn what_comes_in_goes_out_bit_by_bit() {
    for (file, format, prefix) in
        [("timm/model.safetensors", "timm", ""), ("moco-legacy.pth.tar", "onnx", "state_dict.module.encoder_q.")]
    {
        let bytes = fs::read(golden().join(file)).unwrap();
        let state = read::state_dict(&bytes).unwrap();
        let Imported { encoder, .. } = open(&golden().join(file)).unwrap();
        let style = STYLES.iter().find(|style| state.contains_key(&format!("{prefix}{}", style.anchor))).unwrap();
        let written = encoder.tensors.to_safetensors();
        let written = read::state_dict(&written).unwrap();
        for (name, entry) in &written {
            let theirs = format!("{prefix}{}", style.theirs(name).unwrap());
            let (ours, theirs) = (entry.read().unwrap(), state[&theirs].read().unwrap());
            assert_eq!((ours.bytes(), ours.shape), (theirs.bytes(), theirs.shape), "{file}: {name}");
        }
        let out = tempfile::tempdir().unwrap();
        let out = out.path().join("out");
        let count = written.len();
        let format = FORMATS.iter().find(|known| known.name == format).unwrap();
        format.export(encoder, Graph::default(), &out).unwrap();
        let card = fs::read_to_string(out.join("README.md")).unwrap();
        assert!(card.contains("not known: the weights were imported") && !card.contains("without labels"), "{card}");
        if out.join("model.safetensors").exists() {
            let again = open(&out).unwrap();
            assert_eq!(again.encoder.tensors.to_safetensors().len(), encoder_bytes(&bytes), "{count} tensors");
        }
    }
}

/// Bytes of the safetensors file of the encoder in `bytes`.
fn encoder_bytes(bytes: &[u8]) -> usize {
    parsed(bytes).unwrap().encoder.tensors.to_safetensors().len()
}
