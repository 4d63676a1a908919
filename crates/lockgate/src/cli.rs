//! The command line, as clap sees it.

mod capture;

use std::{net::IpAddr, path::PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum};

pub use capture::CaptureArgs;

/// What every filter understands; in the help of every command that takes one.
const FILTER_HELP: &str = "\
FILTER is one expression, with the words of pcap-filter where it has them:
  tcp udp icmp icmp6 sctp gre esp ip ip6, proto N      the protocol
  [src|dst] [host|net] ADDRESS[/LENGTH]                an end, before or after translation
  [src|dst] port [in] N,A-B                            a port, before or after translation
  nat ADDRESS[/LENGTH]                                 an address that translation put in
  policy [in] N,A-B                                    the policy that let it pass
  state NAME, tier NAME, reason NAME                   where it stands, who serves it, why not faster
  in I, out I, interface I, [in|out] zone Z, vr V      the way it takes
  user NAME, group NAME                                who sends
  id N                                                 one session
Terms are joined by `and` (or by nothing), `or` and `not`, with parentheses; `and` binds tighter.
Example: tcp dst port 443 and not (state established or reason fragment)";

/// Where users of remote access are.
const USERS_FILE: &str = "/etc/lockgate/users";

/// What `sa import` reads.
const IMPORT_HELP: &str = "\
Reads `ip xfrm state add …` and `ip xfrm policy add …` as they stand in a script or in the trace of
one, and what `ip xfrm state` and `ip xfrm policy` print. Each pair of SAs becomes one table. What
cannot be taken is an error that names the line; then nothing is printed. The output holds keys:
  umask 077; { ip xfrm state; ip xfrm policy; } | lockgate sa import > tunnels.toml";

/// What `capture` writes.
const CAPTURE_HELP: &str = "\
A packet is seen at every point it passes: rx and tx at the ports, decap and encap inside of tunnels
(before their encryption, from the IP header on), punt from the fast path to the slow path, drop where
it ends. FILTER is matched with the packet as it is at the point, before or after translation.
With -o each interface and point is an interface of the pcapng file, and a comment of each packet says
the rest; without it one line a packet is printed. What is inside of tunnels is in clear.
  lockgate capture --spi 0x1001 -o sa.pcapng
  lockgate capture --reason esp-icv-failed --count 10
  lockgate capture -o - port 53 | tshark -r -";

const EXIT_CODES: &str = "\
Exit codes: 0 done, 1 failed, 2 usage, 3 not found, 4 no gateway answers on the socket,
5 configuration refused, 6 a gateway already runs on the socket, 7 a capability is missing,
8 a port could not be opened.";

/// Lockgate, a Linux security gateway.
#[derive(Debug, Parser)]
#[command(name = "lockgate", version, about, after_help = EXIT_CODES, arg_required_else_help = true)]
#[command(propagate_version = true, disable_help_subcommand = false, max_term_width = 110)]
pub struct Cli {
    /// Options of every command.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Options of every command.
#[derive(Clone, Debug, Args)]
pub struct Global {
    /// Control socket of the gateway
    #[arg(long, global = true, env = "LOCKGATE_SOCKET", value_name = "PATH")]
    #[arg(help_heading = "Global options")]
    pub socket: Option<PathBuf>,
    /// Print the document of the API, one a line, instead of text
    #[arg(long, global = true, help_heading = "Global options")]
    pub json: bool,
    /// When to use colours; `NO_COLOR` is respected
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    #[arg(help_heading = "Global options")]
    pub color: ColorChoice,
}

/// When to use colours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ColorChoice {
    /// On a terminal.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the gateway in the foreground
    Run(RunArgs),
    /// Validate a configuration; needs no running gateway
    Check {
        /// Configuration file
        #[arg(default_value = daemon::DEFAULT_CONFIG)]
        file: PathBuf,
    },
    /// Say what an engine held to a device's rules would take, and why not the rest
    #[command(after_help = FILTER_HELP)]
    Plan(PlanArgs),
    /// Work with IPsec SAs that are keyed by hand
    #[command(subcommand)]
    Sa(Sa),
    /// Show what it does: a simulated office, no root, no network, a few seconds
    Demo {
        /// Directory for the capture and the recording
        #[arg(long, short, default_value = "lockgate-demo", value_name = "DIR")]
        output: PathBuf,
    },
    /// Measure what this machine forwards, in memory, on one core
    Bench {
        /// nat, setup, tiers, clear, churn, esp-encrypt, esp-decrypt (esp for both), dtls, mixed, workers or ike; all where
        /// absent (setup, tiers and clear run together)
        suite: Option<String>,
        /// Lengths of IP packets for nat, esp, dtls, mixed and workers: 46 to 1400 bytes or imix [default: 64,576,imix,1400]
        #[arg(long, value_name = "BYTES", value_delimiter = ',')]
        size: Vec<crate::bench::Size>,
        /// Tunnels for esp and mixed, clients for dtls, 1 to 10000 [default: 1,1000,10000]
        #[arg(long, value_name = "N", value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..=i64::from(crate::bench::MOST_TUNNELS)))]
        tunnels: Vec<u32>,
        /// Flows for nat, 2 to 2000000, two of each session [default: 2,64000,1000000]
        #[arg(long, value_name = "N", value_delimiter = ',', value_parser = clap::value_parser!(u32).range(2..=i64::from(crate::bench::MOST_FLOWS)))]
        flows: Vec<u32>,
        /// Fail when a ratio is below what this file says
        #[arg(long, value_name = "FILE")]
        check: Option<PathBuf>,
    },
    /// Give a gateway the inputs of a recording and compare all it does
    Replay {
        /// Recording, as `demo` writes it
        file: PathBuf,
    },
    /// Compare a configuration with the running one
    Diff {
        /// Configuration file
        #[arg(default_value = daemon::DEFAULT_CONFIG)]
        file: PathBuf,
    },
    /// Run another configuration
    Apply {
        /// Configuration file
        #[arg(default_value = daemon::DEFAULT_CONFIG)]
        file: PathBuf,
        /// Go back after this many seconds unless `lockgate confirm` comes first
        #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=86_400))]
        confirm: Option<u32>,
    },
    /// Keep what `apply --confirm` applied
    Confirm,
    /// Go back to what ran before `apply --confirm`
    Revert,
    /// Read the configuration file again, as SIGHUP does
    Reload,
    /// Show tables, counters and states
    #[command(subcommand, alias = "sh")]
    Show(Show),
    /// Say why a session is where it is
    #[command(subcommand)]
    Explain(Explain),
    /// Follow packets through every stage, or send a made-up one
    #[command(after_help = FILTER_HELP)]
    Trace(TraceArgs),
    /// Capture packets at any point of the gateway
    #[command(after_help = CAPTURE_HELP, after_long_help = format!("{CAPTURE_HELP}\n\n{FILTER_HELP}"))]
    Capture(CaptureArgs),
    /// Ask the policy table
    #[command(subcommand)]
    Policy(Policy),
    /// Say who is behind an address, for policies that name users or groups
    #[command(subcommand)]
    User(User),
    /// End sessions, forget neighbours, zero counters
    #[command(subcommand)]
    Clear(Clear),
    /// Replace negotiated keys now, as if their time had come
    #[command(subcommand)]
    Rekey(Rekey),
    /// Show what happened
    Events {
        /// Go on printing as events happen
        #[arg(long, short)]
        follow: bool,
        /// Only events after this sequence number
        #[arg(long, value_name = "NUMBER")]
        since: Option<u64>,
    },
    /// Print the completion script of a shell
    Completions {
        /// Shell
        shell: clap_complete::Shell,
    },
    /// Print a man page, or write all of them to a directory
    Man {
        /// Directory
        directory: Option<PathBuf>,
    },
}

/// Options of `run`.
#[derive(Clone, Debug, Args)]
pub struct RunArgs {
    /// Configuration file
    #[arg(long, short, default_value = daemon::DEFAULT_CONFIG, value_name = "FILE")]
    pub config: PathBuf,
    /// What to log: `error`, `warn`, `info`, `debug` or `trace`
    #[arg(long, default_value = "info", env = "LOCKGATE_LOG", value_name = "LEVEL")]
    pub log: daemon::LogLevel,
    /// Keep all capabilities instead of dropping what is not needed after start
    #[arg(long)]
    pub keep_capabilities: bool,
}

/// Options of `plan`.
#[derive(Clone, Debug, Args)]
pub struct PlanArgs {
    /// The device, or `list`; what `engine.profile` says where absent
    #[arg(long, value_name = "NAME")]
    pub profile: Option<String>,
    /// Compare what the profiles can do
    #[arg(long, conflicts_with_all = ["profile", "config", "limit", "filter"])]
    pub profiles: bool,
    /// Ask about this configuration file instead of the running gateway
    #[arg(long, value_name = "FILE", conflicts_with_all = ["limit", "filter"])]
    pub config: Option<PathBuf>,
    /// Most sessions to list; 0 for all. All are counted
    #[arg(long, default_value_t = 100)]
    pub limit: u64,
    /// Which sessions of the running gateway
    pub filter: Vec<String>,
}

/// `sa …`
#[derive(Debug, Subcommand)]
pub enum Sa {
    /// Print `[[ipsec]]` tables for what `ip xfrm` was told, or prints
    #[command(after_help = IMPORT_HELP)]
    Import {
        /// Commands, or the output of `ip xfrm state` and `ip xfrm policy`; `-` for stdin
        #[arg(default_value = "-")]
        file: PathBuf,
        /// An address of this host, where the text does not tell which end it is
        #[arg(long, value_name = "ADDRESS")]
        local: Vec<IpAddr>,
    },
}

/// `show …`
#[derive(Debug, Subcommand)]
pub enum Show {
    /// Ports with counters and link state
    Ports,
    /// Layer-3 interfaces with addresses and zones
    Interfaces,
    /// Sessions
    #[command(after_help = FILTER_HELP)]
    Sessions {
        /// Counts by state and tier instead of a list
        #[arg(long, conflicts_with_all = ["offload", "limit", "filter"])]
        summary: bool,
        /// Where each direction is served
        #[arg(long)]
        offload: bool,
        /// Most sessions to list; 0 for all
        #[arg(long, default_value_t = 100)]
        limit: u64,
        /// Which sessions
        filter: Vec<String>,
    },
    /// Policies and local rules with hits
    Policies {
        /// Most rows; 0 for all
        #[arg(long, default_value_t = 0)]
        limit: u64,
    },
    /// Routes, or the route to one destination
    Routes {
        /// Virtual router
        #[arg(long)]
        vr: Option<String>,
        /// Most rows; 0 for all
        #[arg(long, default_value_t = 200)]
        limit: u64,
        /// Longest match for this address
        destination: Option<IpAddr>,
    },
    /// Neighbours (ARP, ND)
    #[command(alias = "neighbors")]
    Neighbours {
        /// Most rows; 0 for all
        #[arg(long, default_value_t = 0)]
        limit: u64,
    },
    /// Tunnels: ends, way, MTU, traffic
    #[command(alias = "tunnel")]
    Tunnels {
        /// Most rows; 0 for all
        #[arg(long, default_value_t = 0)]
        limit: u64,
    },
    /// IPsec SAs: algorithms, sequence numbers, lifetimes, offload
    #[command(alias = "sas")]
    Sa {
        /// Where each SA is served, and why not faster
        #[arg(long, conflicts_with = "detail")]
        offload: bool,
        /// Everything about each SA
        #[arg(long)]
        detail: bool,
        /// Most rows; 0 for all
        #[arg(long, default_value_t = 0)]
        limit: u64,
        /// Write the keys to a file for this program instead; root only, and only where the
        /// configuration says `debug.export-keys = true`
        #[arg(long, value_name = "FORMAT", requires = "output")]
        #[arg(conflicts_with_all = ["offload", "detail", "limit"])]
        export_keys: Option<ExportFormat>,
        /// Directory for the file of --export-keys
        #[arg(long, short, value_name = "DIR", requires = "export_keys")]
        output: Option<PathBuf>,
        /// Only of this tunnel, or with this SPI (`0x…`)
        #[arg(value_name = "TUNNEL|SPI")]
        pick: Option<String>,
    },
    /// IKE peers: state, algorithms, what failed
    Ike {
        /// Everything about each peer, its SAs and the latest messages
        #[arg(long)]
        detail: bool,
        /// Write the keys of IKE SAs to a file for this program instead; root only, and only where the
        /// configuration says `debug.export-keys = true`
        #[arg(long, value_name = "FORMAT", requires = "output", conflicts_with = "detail")]
        export_keys: Option<ExportFormat>,
        /// Directory for the file of --export-keys
        #[arg(long, short, value_name = "DIR", requires = "export_keys")]
        output: Option<PathBuf>,
        /// Only this peer
        peer: Option<String>,
    },
    /// Remote access: servers and clients
    #[command(alias = "ra")]
    RemoteAccess {
        /// Most clients; 0 for all
        #[arg(long, default_value_t = 0)]
        limit: u64,
        /// Only clients of this user
        user: Option<String>,
    },
    /// DTLS associations of clients
    Dtls {
        /// Everything about each association
        #[arg(long)]
        detail: bool,
        /// Most rows; 0 for all
        #[arg(long, default_value_t = 0)]
        limit: u64,
        /// Only of this user
        user: Option<String>,
    },
    /// Users and the addresses they are behind
    #[command(alias = "user")]
    Users {
        /// Most rows; 0 for all
        #[arg(long, default_value_t = 0)]
        limit: u64,
        /// Only this user
        user: Option<String>,
    },
    /// Address translation
    #[command(subcommand)]
    Nat(ShowNat),
    /// Addresses given to peers: how many of each pool
    #[command(alias = "address-pool")]
    AddressPools,
    /// Engines: occupancy, work, refusals, punts, drift audit
    Engines,
    /// Promotion to engines
    #[command(subcommand)]
    Offload(ShowOffload),
    /// Tier ladder, drops by reason, every other counter
    Counters {
        /// Also what was added since the last look with --delta
        #[arg(long)]
        delta: bool,
    },
    /// Version, uptime, configuration, memory, tables
    System,
    /// Anomaly checks and rate sensors
    Anomaly,
}

/// `user …`
#[derive(Debug, Subcommand)]
pub enum User {
    /// Add a user to a file of remote access, or give one another password or other groups
    Add {
        /// Name of the user
        name: String,
        /// Group that the user is in; may be given several times
        #[arg(long = "group", short, value_name = "NAME")]
        groups: Vec<String>,
        /// The user has no password, and comes with a certificate
        #[arg(long)]
        no_password: bool,
        /// File of users
        #[arg(long, short, value_name = "FILE", default_value = USERS_FILE)]
        file: PathBuf,
    },
    /// List the users of a file of remote access
    List {
        /// File of users
        #[arg(long, short, value_name = "FILE", default_value = USERS_FILE)]
        file: PathBuf,
    },
    /// Remove a user from a file of remote access
    Remove {
        /// Name of the user
        name: String,
        /// File of users
        #[arg(long, short, value_name = "FILE", default_value = USERS_FILE)]
        file: PathBuf,
    },
    /// A user is behind an address from now on, as a single sign-on knows
    Login {
        /// Address
        address: IpAddr,
        /// Name of the user
        user: String,
        /// Group that the user is in; may be given several times
        #[arg(long = "group", short, value_name = "NAME")]
        groups: Vec<String>,
        /// Virtual router
        #[arg(long)]
        vr: Option<String>,
        /// For how long, unless said again; until the logout where absent
        #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..))]
        seconds: Option<u32>,
    },
    /// Nobody is behind an address any more; sessions of the user end
    Logout {
        /// Address
        address: IpAddr,
        /// Virtual router
        #[arg(long)]
        vr: Option<String>,
    },
}

/// For which program keys are exported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ExportFormat {
    /// Wireshark's table `esp_sa`
    Wireshark,
}

impl From<ExportFormat> for api::KeyFormat {
    fn from(format: ExportFormat) -> Self {
        match format {
            ExportFormat::Wireshark => Self::Wireshark,
        }
    }
}

/// `show nat …`
#[derive(Debug, Subcommand)]
pub enum ShowNat {
    /// Virtual IPs
    #[command(alias = "vip")]
    Vips,
    /// IP pools
    #[command(alias = "pool")]
    Pools,
}

/// `show offload …`
#[derive(Debug, Subcommand)]
pub enum ShowOffload {
    /// Why sessions are not on an engine, counted
    Reasons,
}

/// `explain …`
#[derive(Debug, Subcommand)]
pub enum Explain {
    /// One session, by id or by filter
    #[command(after_help = FILTER_HELP)]
    Session {
        /// Id, or a filter whose first match is meant
        #[arg(required = true, value_name = "ID|FILTER")]
        pick: Vec<String>,
    },
    /// SAs: offered, installed, serving or not at the engine, since when, and why not
    Sa {
        /// Most rows; 0 for all
        #[arg(long, default_value_t = 0)]
        limit: u64,
        /// Only of this tunnel, or with this SPI (`0x…`)
        #[arg(value_name = "TUNNEL|SPI")]
        pick: Option<String>,
    },
    /// Clients of remote access: by DTLS or CSTP and why, and where their associations stand at the engine
    Dtls {
        /// Most clients; 0 for all
        #[arg(long, default_value_t = 0)]
        limit: u64,
        /// Only clients of this user
        user: Option<String>,
    },
    /// Why a tunnel is up or not, and what to do about it
    Tunnel {
        /// Name of the tunnel
        name: String,
    },
    /// The session a flow belongs to, in either direction
    Flow {
        /// The flow
        #[command(flatten)]
        flow: FlowArgs,
    },
}

/// A conversation in words.
#[derive(Clone, Debug, Args)]
pub struct FlowArgs {
    /// Interface it comes in by
    #[arg(long = "in", value_name = "INTERFACE")]
    pub interface: Option<String>,
    /// Virtual router
    #[arg(long)]
    pub vr: Option<String>,
    /// Protocol, source and destination: `tcp 10.1.1.5:51000 8.8.8.8:443 in lan`
    #[arg(required = true, value_name = "FLOW", num_args = 1..)]
    pub words: Vec<String>,
}

/// `policy …`
#[derive(Debug, Subcommand)]
pub enum Policy {
    /// The policy a new session would meet
    Lookup {
        /// The conversation
        #[command(flatten)]
        flow: FlowArgs,
    },
}

/// Options of `trace`.
#[derive(Clone, Debug, Args)]
pub struct TraceArgs {
    /// Send a made-up packet through every stage; nothing is changed
    #[arg(long)]
    pub simulate: bool,
    /// Follow the messages of IKE with all peers or one, payload by payload, beginning with the latest
    #[arg(long, conflicts_with = "simulate")]
    pub ike: bool,
    /// Packets to trace, 10 where absent; messages with --ike, without end where absent
    #[arg(long, short, conflicts_with = "simulate")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub count: Option<u32>,
    /// Made-up packet: interface it comes in by
    #[arg(long = "in", value_name = "INTERFACE", requires = "simulate")]
    pub interface: Option<String>,
    /// Made-up packet: virtual router
    #[arg(long, requires = "simulate")]
    pub vr: Option<String>,
    /// Made-up packet: TCP flags, of `SAFRPU`
    #[arg(long, requires = "simulate", value_parser = crate::packet::tcp_flags)]
    pub flags: Option<api::TcpFlagsSpec>,
    /// Made-up packet: bytes of the IP packet
    #[arg(long, requires = "simulate")]
    pub length: Option<u16>,
    /// Made-up packet: TTL or hop limit
    #[arg(long, requires = "simulate")]
    pub ttl: Option<u8>,
    /// Made-up packet: may be fragmented
    #[arg(long, requires = "simulate")]
    pub may_fragment: bool,
    /// A filter; with --ike a peer, with --simulate a packet: `tcp 10.1.1.5:51000 8.8.8.8:443 in lan`
    #[arg(value_name = "FILTER|PACKET|PEER")]
    pub words: Vec<String>,
}

/// `clear …`
#[derive(Debug, Subcommand)]
pub enum Clear {
    /// End sessions
    #[command(after_help = FILTER_HELP)]
    Sessions {
        /// End every session; needed when there is no filter
        #[arg(long, conflicts_with = "filter", required_unless_present = "filter")]
        all: bool,
        /// Which sessions
        filter: Vec<String>,
    },
    /// Counters back to zero
    Counters,
    /// Forget resolved neighbours
    #[command(alias = "neighbors")]
    Neighbours {
        /// Only on this interface
        #[arg(long, value_name = "INTERFACE")]
        interface: Option<String>,
        /// Only this address
        address: Option<IpAddr>,
    },
    /// End IKE SAs and what was negotiated; what is to be up is negotiated again
    Ike {
        /// Only of this peer
        peer: Option<String>,
    },
    /// End clients of remote access
    #[command(alias = "ra")]
    RemoteAccess {
        /// Only those of this user
        #[arg(long)]
        user: Option<String>,
    },
    /// Statistics of one table back to zero
    Statistics {
        /// Which
        what: Statistics,
    },
}

/// What to rekey.
#[derive(Clone, Debug, Subcommand)]
pub enum Rekey {
    /// The IKE SAs of a peer; what was negotiated under them stays
    Ike {
        /// Name of the peer
        peer: String,
    },
    /// The pairs of SAs of a tunnel
    Tunnel {
        /// Name of the tunnel
        name: String,
    },
}

/// Whose statistics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Statistics {
    /// Hits and traffic of policies and local rules
    Policies,
}

impl From<Statistics> for api::StatisticsKind {
    fn from(statistics: Statistics) -> Self {
        match statistics {
            Statistics::Policies => Self::Policies,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(line.split_whitespace())
    }

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn filters_are_the_words_that_are_left() {
        let cli = parse("lockgate show sessions --offload src 10.0.0.1 and port 443 --json")
            .expect("valid");
        assert!(cli.global.json);
        let Command::Show(Show::Sessions { offload, filter, limit, .. }) = cli.command else {
            panic!("{:?}", cli.command)
        };
        assert!(offload);
        assert_eq!((filter.join(" ").as_str(), limit), ("src 10.0.0.1 and port 443", 100));
    }

    #[test]
    fn clearing_everything_has_to_be_said() {
        assert!(parse("lockgate clear sessions").is_err());
        assert!(parse("lockgate clear sessions --all port 443").is_err());
        assert!(parse("lockgate clear sessions --all").is_ok());
        assert!(parse("lockgate clear sessions port 443").is_ok());
    }

    #[test]
    fn usage_errors_have_exit_code_two() {
        for line in [
            "lockgate show sa --export-keys wireshark",
            "lockgate show sa --output keys",
            "lockgate show ike --export-keys wireshark",
            "lockgate trace --ike --simulate",
            "lockgate capture --count 0",
            "lockgate capture --point moon",
            "lockgate capture --snap 10",
            "lockgate show nothing",
            "lockgate apply --confirm 0",
            "lockgate trace --ttl 3 port 443",
            "lockgate explain session",
        ] {
            assert_eq!(parse(line).expect_err(line).exit_code(), 2, "{line}");
        }
    }

    #[test]
    fn a_capture_asks_for_what_was_said() {
        let line = "lockgate capture --spi 0x1001 --point rx,drop -c 5 -o - src 10.0.0.1";
        let Command::Capture(args) = parse(line).expect("valid").command else { panic!("{line}") };
        assert_eq!(args.output.as_deref(), Some(std::path::Path::new("-")));
        let spec = args.spec();
        assert_eq!(spec.points, [api::CapturePoint::Rx, api::CapturePoint::Drop]);
        assert_eq!((spec.filter.as_deref(), spec.count), (Some("src 10.0.0.1"), Some(5)));
        let Command::Capture(args) = parse("lockgate capture").expect("valid").command else {
            panic!("no capture")
        };
        assert_eq!(args.spec(), api::CaptureSpec::default());
    }

    #[test]
    fn simulated_packets_and_filters_share_the_words() {
        let cli =
            parse("lockgate trace --simulate --in lan --flags SA tcp 10.0.0.1:1 -- -> 8.8.8.8:2")
                .expect("valid");
        let Command::Trace(args) = cli.command else { panic!("{:?}", cli.command) };
        assert!(args.simulate && args.flags.is_some_and(|f| f.syn && f.ack && !f.fin));
        assert_eq!(args.words, ["tcp", "10.0.0.1:1", "->", "8.8.8.8:2"]);
    }
}
