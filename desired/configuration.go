package desired

import "time"

// Mode says how far lanyard may go.
type Mode string

// The modes, each with the rights of the one before.
const (
	ModeObserve Mode = "observe" // looks and reports; the default
	ModeRepair  Mode = "repair"  // also mends drift on the mechanism that a workload is on
	ModeMigrate Mode = "migrate" // also moves workloads
)

// Prune says what becomes of what left Git.
type Prune string

// The ways to prune.
const (
	PruneNever Prune = "never" // it is reported; the default
	PruneOwned Prune = "owned" // what bears lanyard's mark is removed, within the budgets
)

// Configuration is what the operator of one daemon decides: its cluster, its
// mode and its guard rails. A committer to the repository cannot change it.
type Configuration struct {
	Cluster        string
	Mode           Mode
	Source         Source
	Allow          []Allow
	Protect        []Protect
	Accounts       []Account
	OrganizationID string // for aws:SourceOrgId; empty: none
	PrometheusURL  string // for ProofQuery; empty: none
	Budgets        Budgets
	Prune          Prune
	Migration      Pace
	Features       Features
	At             Position // of the document
}

// Source is where the repository is.
type Source struct {
	URL      string
	Ref      string   // main unless said otherwise
	Paths    []string // "." unless said otherwise
	Interval time.Duration
	Auth     Auth
	Verify   Verify
	Accept   string // a commit whose removals were looked at and are meant; empty: none
}

// Auth says how the repository is read. Secrets are named by file, never
// written into the configuration.
type Auth struct {
	Username       string
	TokenFile      string // for https
	SSHKeyFile     string // for ssh
	KnownHostsFile string // for ssh
	CAFile         string // for https with a private authority
}

// Verify says whose signatures a commit needs.
type Verify struct {
	GPGKeysFile        string // armoured public keys
	AllowedSignersFile string // as ssh-keygen(1) reads it
}

// Allow is one rule of what may be written: these roles for ServiceAccounts of
// these namespaces. Both are globs in which * stands for any characters and ?
// for one.
type Allow struct {
	Namespaces []string
	Roles      []string
	At         Position
}

// Protect is a glob of namespaces in which nothing is ever written.
type Protect struct {
	Namespace string
	At        Position
}

// Account is another account whose roles are read, and through which role.
type Account struct {
	ID         string
	RoleARN    string
	ExternalID string
	At         Position
}

// Budgets bound what one daemon changes.
type Budgets struct {
	RemovalsPerHour int // 5 unless said otherwise
	ChangesPerRound int // 20 unless said otherwise
}

// Pace bounds how migrations proceed.
type Pace struct {
	MaxConcurrent int           // 1 unless said otherwise
	PerNamespace  int           // 1 unless said otherwise
	Settle        time.Duration // 60 s unless said otherwise
	StartupTaint  string        // taint that nodes bear until their agent is ready; empty: none
	Pause         bool
}

// Features are what an operator turns on by name; each needs rights of its own.
type Features struct {
	CloudTrail, IdentityProbe, SecretKeys, Self, PullRequests bool
}
