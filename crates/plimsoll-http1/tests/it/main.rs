//! Scenarios of the HTTP/1.1 codec as its users see it.

#[cfg(test)]
mod properties;
#[cfg(test)]
mod smuggling;
