//! What `Connection` says about this connection (RFC 9110 section 7.6.1).

use crate::fields::Fields;
use crate::name::Name;

/// What the `Connection` fields say.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ConnectionOptions {
    pub(crate) close: bool,
    pub(crate) keep_alive: bool,
    pub(crate) upgrade: bool,
    pub(crate) names_framing: bool,
}

impl ConnectionOptions {
    pub(crate) fn of(fields: &Fields) -> Self {
        let mut options = Self::default();
        for value in fields.get_all(Name::Connection) {
            for option in value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
                if option.eq_ignore_ascii_case(b"close") {
                    options.close = true;
                } else if option.eq_ignore_ascii_case(b"keep-alive") {
                    options.keep_alive = true;
                } else if option.eq_ignore_ascii_case(b"upgrade") {
                    options.upgrade = true;
                } else if Name::recognise(option).is_never_hop_by_hop() {
                    options.names_framing = true;
                }
            }
        }
        options
    }
}
