//! What pages load: one style sheet, one script, one icon, from the program itself.
//!
//! Each has a digest of its content in its name, so that a browser may keep it for ever and never shows an old one. The icon is
//! also where browsers look for one by themselves.

use axum::extract::Path;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::problem::Problem;

/// A file.
pub(crate) struct Asset {
    stem: &'static str,
    extension: &'static str,
    kind: &'static str,
    parts: &'static [&'static str],
    digest: u64,
}

pub(crate) const STYLE: Asset = Asset::new(
    "console",
    "css",
    "text/css; charset=utf-8",
    &[
        plimsoll_plot::TOKENS,
        plimsoll_plot::COMPONENTS,
        include_str!("../assets/page.css"),
    ],
);
pub(crate) const SCRIPT: Asset = Asset::new(
    "console",
    "js",
    "text/javascript; charset=utf-8",
    &[include_str!("../assets/console.js")],
);
pub(crate) const ICON: Asset = Asset::new(
    "mark",
    "svg",
    "image/svg+xml",
    &[include_str!("../assets/mark.svg")],
);

impl Asset {
    const fn new(
        stem: &'static str,
        extension: &'static str,
        kind: &'static str,
        parts: &'static [&'static str],
    ) -> Self {
        Self {
            stem,
            extension,
            kind,
            parts,
            digest: digest(parts),
        }
    }

    /// Where it is.
    pub(crate) fn path(&self) -> String {
        format!("/assets/{}", self.name())
    }

    fn name(&self) -> String {
        format!("{}-{:016x}.{}", self.stem, self.digest, self.extension)
    }
}

/// FNV-1a, 64 bit: it tells one of our own files from another, and nobody else makes them.
/// Source: G. Fowler, L. Noll, P. Vo, "The FNV Non-Cryptographic Hash Algorithm" (RFC 9923).
#[expect(
    clippy::indexing_slicing,
    reason = "a constant function can't iterate; the loops check the lengths"
)]
const fn digest(parts: &[&str]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut part = 0;
    while part < parts.len() {
        let bytes = parts[part].as_bytes();
        let mut place = 0;
        while place < bytes.len() {
            hash = (hash ^ bytes[place] as u64).wrapping_mul(0x0000_0100_0000_01b3);
            place += 1;
        }
        part += 1;
    }
    hash
}

/// Gives a file; what has another digest in its name is no file of this version.
pub(crate) async fn asset(Path(name): Path<String>) -> Response {
    let Some(asset) = [STYLE, SCRIPT, ICON]
        .into_iter()
        .find(|it| it.name() == name)
    else {
        return Problem::not_found("this version has no such file: load the page again")
            .into_response();
    };
    given(&asset, "private, max-age=31536000, immutable")
}

/// Gives the icon to a browser that shows a text, which can't say where its icon is. The name has no digest, so it is not kept
/// for ever.
pub(crate) async fn favicon() -> Response {
    given(&ICON, "private, max-age=86400")
}

fn given(asset: &Asset, kept: &'static str) -> Response {
    let mut response = (StatusCode::OK, asset.parts.concat()).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(asset.kind));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(kept));
    response
}
