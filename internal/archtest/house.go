package archtest

import (
	"slices"
	"strings"
)

// Module is the path before every package of ours.
const Module = "github.com/lanyard-io/lanyard"

// Levels of the house. A package imports downward only; asides stand beside it.
const (
	words     = 0
	documents = 1
	finding   = 2
	planning  = 3
	deciding  = 4 // this level and all below are pure
	hands     = 5
	loop      = 6
	wiring    = 7
	mouth     = 8
	door      = 9
	aside     = -1
)

// room is one row of the table: where a package stands and what of ours it may import.
type room struct {
	path  string   // within the module; "/..." at the end includes all below
	level int      // or aside
	below int      // every room of a lower level than this may be imported,
	also  []string // and these,
	not   []string // but not these
	tests bool     // only tests may import it
	why   string
}

// house is the whole table, also for rooms that are still to be built. A package that
// is not in it fails the test: say where it stands, and why there.
var house = []room{
	{path: "internal/identity", level: words, why: "words that everyone shares depend on nobody, or they would drag the house along"},
	{path: "internal/remedy", level: words, why: "every level classes its errors by remedy, so the classes depend on nobody"},
	{path: "internal/bugs", level: words, why: "deliberate bugs sit where the lines are that must not be wrong, at every level"},
	{path: "internal/rights", level: words, why: "what lanyard needs is a table that is read before lanyard runs; it asks nobody"},

	{path: "sync/trust", level: documents, below: documents, why: "a trust policy is judged from its text alone, so that the judgement can be tested and replayed"},
	{path: "desired", level: documents, below: documents, why: "what Git says must not depend on what is live: wish and fact are compared later, in diff"},
	{path: "sync/live", level: documents, below: documents, also: []string{"sync/trust"}, why: "what was seen must not depend on what was wished; a role carries its parsed trust policy"},

	{path: "sync/diff", level: finding, below: finding, why: "naming a difference comes before planning a change, and must not know what will be done about it"},
	{path: "sync/plan", level: planning, below: planning, why: "a plan is data made from findings; who runs or reports it is above"},
	{path: "migrate", level: deciding, below: deciding, why: "a migration is a function of the live world that yields plan steps; the loop and the report are its readers"},
	{path: "migrate/proof", level: hands, below: hands, why: "the hand that looks for proof asks CloudTrail and Prometheus, and tells migrate what was shown"},
	{path: "migrate/outline", level: hands, below: hands, why: "a report of migrations shows what migrate decided, and decides nothing"},
	{path: "migrate/review", level: hands, below: hands, also: []string{"migrate/outline"}, why: "a review subtracts what one revision leads to from what another does; both are decided below it, by what also decides in the daemon"},
	{path: "sync/explain", level: hands, below: hands, why: "an explanation arranges what diff found and plan would do along the chain; it judges nothing itself"},
	{path: "sync/census", level: deciding, below: deciding, why: "a wish written down from facts is checked against them before it is handed over; it touches nothing"},
	{path: "sync/audit", level: deciding, below: deciding, also: []string{"migrate", "sync/report"}, why: "an audit judges a snapshot by itself, asks migrate for the verdict, and touches nothing"},
	{path: "sync/doctor", level: deciding, below: deciding, also: []string{"sync/report"}, why: "a doctor judges answers that were fetched elsewhere; it asks nobody, so that each verdict can be tested"},
	{path: "sync/report", level: deciding, below: deciding, why: "a report is the record of a round; it never plans one"},

	{path: "desired/gitsource", level: hands, below: hands, why: "a hand touches one part of the world and decides nothing"},
	{path: "desired/gitwrite", level: hands, below: hands, why: "the hand that writes files into a working tree stands apart from the one that reads Git, which a daemon holds"},
	{path: "sync/observe", level: hands, below: hands, why: "the reading hand decides nothing, and cannot write because it cannot reach the writer"},
	{path: "sync/apply", level: hands, below: hands, why: "the writing hand runs the plan it is given and decides nothing"},
	{path: "migrate/probe", level: hands, below: hands, why: "the asking hand says what API servers answer; what answers mean together is decided in migrate"},
	{path: "migrate/identityprobe", level: hands, below: hands, why: "the hand that runs lanyard whoami under a ServiceAccount tells what it said; nothing waits for it"},
	{path: "internal/hook", level: hands, why: "a hook only says: look now; what is not in its reach, a forged delivery cannot touch"},

	{path: "internal/forge", level: hands, below: documents, why: "reports on pull requests are kept through a Host and made by a Differ, so that hosts can be added and everything is tested without Git or a cluster"},
	{path: "internal/forge/github", level: hands, below: documents, also: []string{"internal/forge"}, why: "one host of pull requests behind forge's interface; it knows nothing of reports, and no other room speaks GitHub's API"},

	{path: "sync", level: loop, below: hands, not: []string{"migrate"}, why: "the loop declares the interfaces it needs and is given the hands, so it runs without a world in tests and without writers in observe mode"},
	{path: "metrics", level: loop, below: documents, also: views, why: "metrics read rounds; nothing that decides may learn what was counted"},
	{path: "sync/status", level: loop, below: documents, also: views, why: "the page reads rounds; it has no route that changes anything, and nothing to change it with"},

	{path: "internal/app", level: wiring, below: wiring, why: "the one place that knows every part, so that no part knows another"},
	{path: "cmd/lanyard/internal/cli", level: mouth, below: hands, also: []string{"internal/app", "migrate/outline", "migrate/review", "sync/explain", "internal/sandbox/...", "examples"}, why: "a command parses, asks the wiring and prints; it reaches the world only through internal/app"},
	{path: "cmd/lanyard", level: door, also: []string{"cmd/lanyard/internal/cli"}, why: "main turns signals into a context and a result into an exit code, and nothing else"},

	{path: "internal/sandbox/...", level: aside, also: []string{"internal/sandbox/..."}, why: "the sandbox is the oracle: judging with lanyard's own code it would agree with lanyard's bugs"},
	{path: "examples", level: aside, why: "examples are files; the package only embeds them"},
	{path: "internal/testkit", level: aside, tests: true, why: "test helpers know nothing of what they help to test"},
	{path: "internal/archtest", level: aside, tests: true, why: "the judge of imports imports nobody"},
	{path: "test/...", level: aside, below: door, also: []string{"internal/sandbox/...", "internal/testkit", "examples", "test/..."}, tests: true, why: "tests of the whole stand outside the house"},
}

// views is what the readers of rounds may see of them, besides the words.
var views = []string{"sync/report", "sync/plan", "sync/live"}

// fences are the edges whose own reason says more than the row's.
var fences = []struct{ from, to, why string }{
	{"sync", "migrate", "the loop asks a Planner interface about transitions and internal/app supplies migrate; a loop that knows migrations cannot be tested without them"},
	{"desired/gitsource", "sync/observe", handsApart},
	{"desired/gitsource", "sync/apply", handsApart},
	{"sync/observe", "sync/apply", "plan and diff are built without the writers (law 7): observe importing apply would build them in"},
	{"sync/observe", "desired/gitsource", handsApart},
	{"migrate/probe", "sync/observe", "the probe is given observe's judgement of a pod and asks on its own, or an asking hand would come with every reader and its clients"},
	{"sync/apply", "sync/observe", handsApart},
	{"sync/apply", "desired/gitsource", handsApart},
	{"...", "internal/sandbox/...", "a shipped room that leans on the double works in the sandbox and nowhere else; only the mouth offers it, as a command"},
	{"...", "internal/app", "only the mouth starts the composition root; imported from below it would close a circle through every hand"},
}

const handsApart = "hands never import each other: each is replaced, faked and left out on its own"

// library is one kept dependency: who may import it, and why nobody else.
type library struct {
	prefixes []string
	sdk      bool // a client of the outer world
	rooms    []string
	why      string
}

var libraries = []library{
	{
		prefixes: []string{"github.com/aws/"}, sdk: true,
		rooms: []string{"sync/observe", "sync/apply", "migrate/proof", "internal/app", "internal/sandbox/..."},
		why:   "what decides must run without AWS; only hands hold clients, the wiring configures them, the sandbox's prober stands for a pod",
	},
	{
		prefixes: []string{"k8s.io/", "sigs.k8s.io/", "gopkg.in/evanphx/json-patch.v4"}, sdk: true,
		rooms: []string{"sync/observe", "sync/apply", "migrate/probe", "migrate/identityprobe", "internal/app", "internal/sandbox/..."},
		why:   "what decides must run without Kubernetes and its types; only hands hold clients, the wiring configures them, the sandbox serves them",
	},
	{
		prefixes: []string{"github.com/go-git/"}, sdk: true,
		rooms: []string{"desired/gitsource", "desired/gitwrite", "internal/app", "internal/sandbox/gitd"},
		why:   "Git is one source of an fs.FS; everyone else reads files",
	},
	{
		prefixes: []string{"github.com/google/go-github"}, sdk: true,
		rooms: []string{"internal/forge/github"},
		why:   "GitHub is one host of pull requests; everyone else speaks of those through internal/forge",
	},
	{
		prefixes: []string{"golang.org/x/crypto/ssh", "github.com/skeema/knownhosts"}, sdk: true,
		rooms: []string{"desired/gitsource", "internal/sandbox/gitd"},
		why:   "ssh is one way to a repository and one kind of signature on a commit; gitd serves both to tests",
	},
	{
		prefixes: []string{"github.com/ProtonMail/go-crypto", "github.com/hiddeco/sshsig"},
		rooms:    []string{"desired/gitsource"},
		why:      "whose signature counts is settled where a commit is read; everyone else is handed accepted revisions",
	},
	{
		prefixes: []string{"github.com/go-jose/go-jose/v4"},
		rooms:    []string{"internal/sandbox/..."},
		why:      "the sandbox stands in for STS and for an issuer, and signatures are not a thing to check with code of one's own; lanyard itself holds no token",
	},
	{
		prefixes: []string{"gopkg.in/yaml.v3"},
		rooms:    []string{"desired", "sync/live"},
		why:      "two documents are YAML, and one strict decoder each is enough to keep positions and bounds right",
	},
	{
		prefixes: []string{"github.com/prometheus/"},
		rooms:    []string{"metrics", "internal/app"},
		why:      "counting must not leak into what is counted; metrics are built on a given Registerer",
	},
	{
		prefixes: []string{"github.com/spf13/cobra", "github.com/spf13/pflag"},
		rooms:    []string{"cmd/lanyard/internal/cli"},
		why:      "flags end at the mouth; below it there are Options",
	},
	{
		prefixes: []string{"golang.org/x/term"},
		rooms:    []string{"cmd/lanyard/internal/cli"},
		why:      "only the mouth talks to a terminal",
	},
	{
		prefixes: []string{"golang.org/x/time/rate"},
		rooms:    []string{"desired/gitsource", "sync/observe", "sync/apply", "migrate/proof", "internal/app"},
		why:      "whoever waits for a token looks at a clock, and only hands and wiring do",
	},
	{
		prefixes: []string{"github.com/rogpeppe/go-internal/diff"},
		rooms:    []string{"desired/gitsource", "migrate/review"},
		why:      "files are merged by lines, and a trust policy is shown line by line; the package is Go's own diff and imports the standard library only",
	},
	{
		prefixes: []string{"github.com/google/go-cmp", "github.com/rogpeppe/go-internal", "github.com/santhosh-tekuri/jsonschema"},
		rooms:    []string{"internal/testkit", "test/..."},
		why:      "test libraries stay out of the shipped binary",
	},
}

const (
	whyTable   = "an arrow can be judged only between packages whose level is known: add the package to the table in internal/archtest/house.go and say why it stands there"
	whyLibrary = "a dependency is kept by decision: add it to the table in internal/archtest/house.go and say who may use it and why"
	whyPure    = "what decides takes values and returns values: with no file, socket or log in reach it can be fuzzed, replayed and trusted"
	whyClock   = "now is a value given to what decides (Snapshot.TakenAt): a plan computed twice from one snapshot must be the same plan"
	whyReach   = "a client in reach of what decides is a client that a later change will call"
	whyAlias   = "a package named sync would hide the standard library's; it is lsync everywhere, so that every reader knows it at sight"
	whyTests   = "it exists for tests, and must not be built into the binary"
	whyDot     = "dot imports hide where a name comes from, from readers and from this test"
	whyCgo     = "the binary is static: it runs FROM scratch"
)

// impure are the packages that levels 0 to 4 do without, with all below them;
// inert are the harmless ones among those.
var (
	impure = []string{"os", "net", "log", "syscall", "plugin"}
	inert  = []string{"net/netip", "net/url", "net/mail", "net/textproto"}
)

// clocks are the functions of package time that read or wait for a clock.
var clocks = []string{"Now", "Since", "Until", "After", "AfterFunc", "Sleep", "Tick", "NewTicker", "NewTimer"}

// roomOf returns the row of a package, the most exact one if several match.
func roomOf(path string) (room, bool) {
	var best room
	found := false
	for _, r := range house {
		if match(r.path, path) && (!found || len(r.path) > len(best.path)) {
			best, found = r, true
		}
	}
	return best, found
}

// mayImport judges an edge between two packages of ours by the rows alone.
func mayImport(from, to room, toPath string) bool {
	named := func(pattern string) bool { return match(pattern, toPath) }
	if slices.ContainsFunc(from.not, named) {
		return false
	}
	if slices.ContainsFunc(from.also, named) {
		return true
	}
	return to.level != aside && to.level < from.below
}

func libraryOf(path string) (library, bool) {
	for _, l := range libraries {
		for _, prefix := range l.prefixes {
			if path == strings.TrimSuffix(prefix, "/") || strings.HasPrefix(path, strings.TrimSuffix(prefix, "/")+"/") {
				return l, true
			}
		}
	}
	return library{}, false
}

// match reports whether a path is the pattern's, or below it if that ends in "...".
func match(pattern, path string) bool {
	if pattern == "..." {
		return true
	}
	parent, deep := strings.CutSuffix(pattern, "/...")
	return path == parent || deep && strings.HasPrefix(path, parent+"/")
}
