package desired

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"gopkg.in/yaml.v3"

	"github.com/lanyard-io/lanyard/internal/identity"
)

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
	PullRequests   PullRequests // where Features.PullRequests is on
	At             Position     // of the document
	AllowAt        Position     // of the list of rules; of the document where there is none
}

// DefaultSettle is how long a write is given to be seen everywhere unless the
// configuration says otherwise, and the least that it may say.
const DefaultSettle = time.Minute

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
	Username          string
	TokenFile         string // for https
	PasswordFile      string // for https, in place of a token, with Username
	SSHKeyFile        string // for ssh
	SSHPassphraseFile string // of an encrypted key
	KnownHostsFile    string // for ssh
	CAFile            string // for https with a private authority
	Proxy             string // for https; empty: as the environment says
	PlainHTTP         bool   // http to other machines is allowed
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
	Role       identity.RoleARN // in that account
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
	Settle        time.Duration // DefaultSettle unless said otherwise
	StartupTaint  string        // taint that nodes bear until their agent is ready; empty: none
	Pause         bool
}

// Features are what an operator turns on by name; each needs rights of its own.
type Features struct {
	CloudTrail, IdentityProbe, SecretKeys, Self, PullRequests bool
}

// ParseConfiguration reads the operator's configuration, which is one YAML
// document. Its error is [Errors], with every mistake of the file.
func ParseConfiguration(file string, data []byte) (*Configuration, error) {
	var errs collector
	if len(data) > maxFile {
		errs.add(Position{File: file}, "the file is over 1 MiB", "write less")
		return nil, errs.errs.orNil()
	}
	d := decoder{file: file, source: data, errs: &errs}
	var c *Configuration
	documents := 0
	eachDocument(file, data, &errs, func(root *yaml.Node) bool {
		if root.Kind == 0 {
			return true
		}
		if documents++; documents > 1 {
			d.wrong(root, "a second document", "write one Configuration to a file")
			return false
		}
		if kind, ours := d.header(root, kindConfiguration); kind == "" {
			return false
		} else if !ours || kind != kindConfiguration {
			d.wrong(root, fmt.Sprintf("kind %s is not a configuration", quote(kind)), "write apiVersion: "+APIVersion+" and kind: "+kindConfiguration)
			return false
		}
		if values, good := d.decode(root, configurationShape, kindConfiguration); good {
			c = configurationOf(values, d.at(root), &errs)
		}
		return true
	})
	if documents == 0 && len(errs.errs) == 0 {
		errs.add(Position{file, 1, 1}, "an empty file", "write a Configuration")
	}
	if err := errs.errs.orNil(); err != nil {
		return nil, err
	}
	return c, nil
}

// configurationOf builds a configuration of values that are right in themselves,
// and judges what takes two of them.
func configurationOf(f fields, at Position, errs *collector) *Configuration {
	c := &Configuration{
		Cluster: f.text("cluster"), Mode: Mode(or(f, "mode", string(ModeObserve))),
		Source: sourceOf(f), OrganizationID: f.text("organizationID"), PrometheusURL: f.text("prometheus.url"),
		Budgets: Budgets{RemovalsPerHour: or(f, "budgets.removalsPerHour", 5), ChangesPerRound: or(f, "budgets.changesPerRound", 20)},
		Prune:   Prune(or(f, "prune", string(PruneNever))),
		Migration: Pace{
			MaxConcurrent: or(f, "migration.maxConcurrent", 1), PerNamespace: or(f, "migration.perNamespace", 1),
			Settle: or(f, "migration.settle", DefaultSettle), StartupTaint: f.text("migration.startupTaint"),
			Pause: or(f, "migration.pause", false),
		},
		Features: Features{
			CloudTrail: or(f, "features.cloudtrail", false), IdentityProbe: or(f, "features.identityProbe", false),
			SecretKeys: or(f, "features.secretKeys", false), Self: or(f, "features.self", false),
			PullRequests: or(f, "features.pullRequests", false),
		},
		PullRequests: PullRequests{
			URL: f.text("pullRequests.url"), Repository: f.text("pullRequests.repository"), TokenFile: f.text("pullRequests.tokenFile"),
			CAFile: f.text("pullRequests.caFile"), Author: f.text("pullRequests.author"), Context: f.text("pullRequests.context"),
			Forks: or(f, "pullRequests.forks", false),
		},
		At: at, AllowAt: at,
	}
	if v, ok := f["allow"]; ok {
		c.AllowAt = v.at
	}
	for i, item := range f.items("allow") {
		inner, prefix := item.v.(fields), fmt.Sprintf("allow[%d].", i)
		c.Allow = append(c.Allow, Allow{Namespaces: inner.texts(prefix + "namespaces"), Roles: inner.texts(prefix + "roles"), At: item.at})
	}
	for _, item := range f.items("protect") {
		c.Protect = append(c.Protect, Protect{Namespace: item.v.(string), At: item.at})
	}
	c.Accounts = accountsOf(f, errs)
	judgeAuth(c.Source, f, errs)
	judgePullRequests(c, f, errs)
	if len(c.Allow) == 0 && c.Mode != ModeObserve {
		errs.add(f["mode"].at, fmt.Sprintf("mode %s without allow", c.Mode), "write allow, with the namespaces and roles that may be written, or mode: observe")
	}
	return c
}

func sourceOf(f fields) Source {
	s := Source{
		URL: f.text("source.url"), Ref: or(f, "source.ref", "main"), Paths: f.texts("source.paths"),
		Interval: or(f, "source.interval", time.Minute), Accept: f.text("source.accept"),
		Auth: Auth{
			Username: f.text("source.auth.username"), TokenFile: f.text("source.auth.tokenFile"), PasswordFile: f.text("source.auth.passwordFile"),
			SSHKeyFile: f.text("source.auth.sshKeyFile"), SSHPassphraseFile: f.text("source.auth.sshPassphraseFile"),
			KnownHostsFile: f.text("source.auth.knownHostsFile"), CAFile: f.text("source.auth.caFile"),
			Proxy: f.text("source.auth.proxy"), PlainHTTP: or(f, "source.auth.plainHTTP", false),
		},
		Verify: Verify{GPGKeysFile: f.text("source.verify.gpgKeysFile"), AllowedSignersFile: f.text("source.verify.allowedSignersFile")},
	}
	if len(s.Paths) == 0 {
		s.Paths = []string{"."}
	}
	return s
}

// judgeAuth refuses ways to authenticate that do not go together, or not with the URL.
func judgeAuth(s Source, f fields, errs *collector) {
	a := s.Auth
	wrong := func(name, what, instead string) {
		at, ok := f["source.auth."+name]
		if !ok {
			at = f["source.url"]
		}
		errs.add(at.at, "source.auth."+name+" "+what, instead)
	}
	scheme, _, isURL := strings.Cut(s.URL, "://")
	colon, slash := strings.IndexByte(s.URL, ':'), strings.IndexByte(s.URL, '/')
	overSSH := isURL && strings.Contains(scheme, "ssh") || !isURL && colon > 0 && (slash < 0 || colon < slash)
	for _, only := range []struct {
		name string
		set  bool
		ssh  bool
	}{
		{"username", a.Username != "", false}, {"tokenFile", a.TokenFile != "", false}, {"passwordFile", a.PasswordFile != "", false},
		{"caFile", a.CAFile != "", false}, {"proxy", a.Proxy != "", false}, {"plainHTTP", a.PlainHTTP, false},
		{"sshKeyFile", a.SSHKeyFile != "", true}, {"sshPassphraseFile", a.SSHPassphraseFile != "", true}, {"knownHostsFile", a.KnownHostsFile != "", true},
	} {
		switch {
		case only.set && only.ssh && !overSSH:
			wrong(only.name, "is for ssh, and source.url is not", "delete it, or write ssh://git@host/path")
		case only.set && !only.ssh && overSSH:
			wrong(only.name, "is for https, and source.url is for ssh", "delete it, or write https://host/path")
		}
	}
	switch {
	case overSSH && a.SSHKeyFile == "":
		wrong("sshKeyFile", "is missing, and source.url is for ssh", "write the file of a private key")
	case overSSH && a.KnownHostsFile == "":
		wrong("knownHostsFile", "is missing, and source.url is for ssh", "write the file of the host keys that are trusted")
	case a.TokenFile != "" && a.PasswordFile != "":
		wrong("passwordFile", "stands beside source.auth.tokenFile", "delete one")
	case a.PasswordFile != "" && a.Username == "":
		wrong("passwordFile", "stands without source.auth.username", "write the user's name")
	}
}

func accountsOf(f fields, errs *collector) []Account {
	var accounts []Account
	for i, item := range f.items("accounts") {
		inner, prefix := item.v.(fields), fmt.Sprintf("accounts[%d].", i)
		a := Account{ID: inner.text(prefix + "id"), ExternalID: inner.text(prefix + "externalID"), At: item.at}
		a.Role, _ = identity.ParseRoleARN(inner.text(prefix + "roleARN")) // its rule has parsed it before
		if a.Role.Account != a.ID {
			errs.add(inner[prefix+"roleARN"].at, fmt.Sprintf("the role is in account %s, not in %s", a.Role.Account, a.ID), "write a role of the account that is to be read")
		}
		if j := slices.IndexFunc(accounts, func(b Account) bool { return b.ID == a.ID }); j >= 0 {
			errs.add(inner[prefix+"id"].at, fmt.Sprintf("account %s is listed twice, first at %s", a.ID, accounts[j].At), "delete one")
		}
		accounts = append(accounts, a)
	}
	return accounts
}
