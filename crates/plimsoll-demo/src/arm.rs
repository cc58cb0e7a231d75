//! One arm: a shop and the proxy in front of it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use tokio::sync::mpsc::UnboundedSender;

use crate::child::{Child, explain};
use crate::director::Event;
use crate::message::{ShopOrder, ShopState};
use crate::plan::Plan;
use crate::proxy::{Addresses, ProxyKind, prepare, state_of};

/// A shop and its proxy.
pub(crate) struct Arm {
    pub(crate) kind: ProxyKind,
    /// Nowhere until its proxy is started.
    pub(crate) addresses: Addresses,
    /// By service and endpoint; empty until the shop is ready.
    pub(crate) ports: Vec<Vec<u16>>,
    pub(crate) state: ShopState,
    name: &'static str,
    shop: Child,
    proxy: Option<Child>,
}

impl Arm {
    /// Starts the shop of the arm at `index`, with a `spare` endpoint for the catalogue; its proxy comes later, when the shop's
    /// ports are known.
    pub(crate) fn start(
        index: usize,
        kind: ProxyKind,
        seed: u64,
        spare: bool,
        folder: &Path,
        events: UnboundedSender<Event>,
    ) -> Result<Self, String> {
        let name = if index == 0 { "without" } else { "with" };
        let seed = seed.to_string();
        let mut args = vec!["shop", &seed];
        args.extend(spare.then_some("spare"));
        let event = move |news| Event::Shop(index, news);
        let shop = Child::part(&format!("shop {name}"), &args, folder, events, event);
        Ok(Self {
            kind,
            addresses: Addresses::NONE,
            ports: Vec::new(),
            state: ShopState::default(),
            name,
            shop: shop.map_err(|error| explain(&error))?,
            proxy: None,
        })
    }

    /// Starts the proxy; `plimsoll` is the program that is Plimsoll.
    pub(crate) fn start_proxy(
        &mut self,
        plimsoll: &Path,
        folder: &Path,
        plan: &Plan,
    ) -> Result<(), String> {
        let folder = self.folder(folder);
        let launch = std::fs::create_dir_all(&folder)
            .and_then(|()| {
                prepare(
                    self.kind,
                    plimsoll,
                    &folder,
                    self.addresses,
                    &self.ports,
                    plan,
                )
            })
            .map_err(|error| format!("writing the configuration of {}: {error}", self.name))?;
        let name = format!("{} ({})", self.kind.name(), self.name);
        let child = Child::program(&name, &launch.program, &launch.args, &folder);
        self.proxy = Some(child.map_err(|error| explain(&error))?);
        Ok(())
    }

    fn folder(&self, folder: &Path) -> PathBuf {
        folder.join(self.name)
    }

    /// Where the proxy keeps what it writes, if it is Plimsoll.
    pub(crate) fn state(&self, folder: &Path) -> PathBuf {
        state_of(&self.folder(folder), self.kind)
    }

    /// Ends the proxy; the shop goes on.
    pub(crate) fn stop_proxy(&mut self) {
        self.proxy = None;
    }

    /// Where clients connect.
    pub(crate) fn front(&self) -> SocketAddr {
        self.addresses.front
    }

    /// Tells the shop.
    pub(crate) fn tell(&mut self, order: &ShopOrder) {
        self.shop.tell(order);
    }

    /// Its processes.
    pub(crate) fn children(&self) -> impl Iterator<Item = &Child> {
        std::iter::once(&self.shop).chain(&self.proxy)
    }

    /// A sentence about the first of its processes that ended, if one has.
    pub(crate) fn ended(&mut self) -> Option<String> {
        self.shop.ended().or_else(|| self.proxy.as_mut()?.ended())
    }
}
