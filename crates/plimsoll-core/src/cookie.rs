//! The cookie of the console's sessions, by its name.
//!
//! It is here since two shells that do not know each other have to agree on it: the console sets it, and the gateway keeps it
//! from services. Cookies know no ports (RFC 6265, 8.5): a browser that signed in to the console at a host sends the cookie to
//! every other server at that host, a gateway included.

/// What the name begins with; the console's port follows, so that two consoles of one host do not take each other's.
const PREFIX: &str = "plimsoll-";

/// The name of the cookie of the console at a port.
pub fn session_cookie(port: u16) -> String {
    format!("{PREFIX}{port}")
}

/// Whether a cookie is a session of a console, at whichever port.
pub fn is_session_cookie(name: &[u8]) -> bool {
    let port = name.strip_prefix(PREFIX.as_bytes());
    port.is_some_and(|port| (1..=5).contains(&port.len()) && port.iter().all(u8::is_ascii_digit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_console_is_told_from_others() {
        for port in [1, 7_676, u16::MAX] {
            assert!(is_session_cookie(session_cookie(port).as_bytes()));
        }
        for other in [
            "plimsoll-",
            "plimsoll",
            "plimsoll-x",
            "plimsoll-7676x",
            "plimsoll-767676",
            "xplimsoll-7676",
            "Plimsoll-7676",
            "",
        ] {
            assert!(!is_session_cookie(other.as_bytes()), "{other}");
        }
    }
}
