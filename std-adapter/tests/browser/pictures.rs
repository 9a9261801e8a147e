//! Makes the pictures of the documents from three sites with traffic, where `PICTURES` names the folder:
//! `PICTURES=docs/images cargo test --locked --workspace --test browser pictures -- --ignored`.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use super::chromium::Chromium;
use super::sites::Sites;

/// The maximum size of a picture in octets.
const MOST: usize = 100_000;

/// Returns a picture with its 256 most frequent colours alone, which takes a quarter of the octets.
fn small(picture: &[u8]) -> Vec<u8> {
    let mut reader = png::Decoder::new(std::io::Cursor::new(picture)).read_info().unwrap();
    let mut octets = vec![0; reader.output_buffer_size().unwrap()];
    let shape = reader.next_frame(&mut octets).unwrap();
    let pixels: Vec<[u8; 3]> =
        octets.chunks(shape.color_type.samples()).map(|pixel| [pixel[0], pixel[1], pixel[2]]).collect();
    let mut counts = HashMap::<[u8; 3], usize>::new();
    pixels.iter().for_each(|pixel| *counts.entry(*pixel).or_default() += 1);
    let mut colours: Vec<[u8; 3]> = counts.keys().copied().collect();
    colours.sort_by_key(|colour| (std::cmp::Reverse(counts[colour]), *colour));
    let palette = &colours[..colours.len().min(256)];
    let distance = |one: &[u8; 3], other: &[u8; 3]| -> u32 {
        one.iter().zip(other).map(|(one, other)| u32::from(one.abs_diff(*other)).pow(2)).sum()
    };
    let nearest: HashMap<[u8; 3], u8> = colours
        .iter()
        .map(|colour| (*colour, (0..=255).zip(palette).min_by_key(|(_, one)| distance(one, colour)).unwrap().0))
        .collect();
    let mut small = Vec::new();
    let mut encoder = png::Encoder::new(&mut small, shape.width, shape.height);
    encoder.set_color(png::ColorType::Indexed);
    encoder.set_palette(palette.concat());
    encoder.set_compression(png::Compression::High);
    encoder.set_filter(png::Filter::NoFilter);
    let indices: Vec<u8> = pixels.iter().map(|pixel| nearest[pixel]).collect();
    encoder.write_header().unwrap().write_image_data(&indices).unwrap();
    small
}

#[test]
#[ignore = "needs chromium: tests/run"]
fn pictures() {
    let Some(folder) = std::env::var_os("PICTURES") else { return };
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(folder);
    std::fs::create_dir_all(&folder).unwrap();
    let mut sites = Sites::start();
    for (site, tunnel, size, pause) in [
        ("a", "feed-to-b", 40_000, 90),
        ("a", "nats-to-b", 900, 300),
        ("b", "feed-to-c", 60_000, 130),
        ("b", "feed-to-c", 500, 400),
        ("b", "nats-to-c", 4_000, 250),
        ("c", "feed-to-b", 3_000, 200),
    ] {
        sites.send(site, tunnel, size, Duration::from_millis(pause));
    }
    let mut browser = Chromium::start(1280);
    browser.open(&format!("http://{}/", sites.pages("b")));
    let save = |browser: &mut Chromium, name: &str, size: (u32, u32)| {
        let png = small(&browser.picture(size));
        assert!(png.len() < MOST, "{name}: {} octets", png.len());
        std::fs::write(folder.join(name), png).unwrap();
    };
    browser.wait_for("document.querySelectorAll('#session tbody tr').length === 2");
    // The curves have their course after two minutes.
    for age in [50, 100, 119] {
        browser.wait_for(&format!("performance.now() / 1000 - courses.get('feed-in')[0][0] > {age}"));
    }
    save(&mut browser, "page.png", (1280, 1010));
    browser.prefer("dark");
    sites.stop("c");
    browser.wait_for_text("#alarm-list", "gateway.c.example");
    browser.wait_for_text("#links", "failed");
    save(&mut browser, "page-alarm.png", (1280, 760));
}
