package status

import (
	"time"

	"github.com/lanyard-io/lanyard/sync/report"
)

// Status is the answer of /api/v1/status. Its JSON form is described by the schema
// docs/schemas/status.json and only ever grows.
type Status struct {
	Now     time.Time       `json:"now"`
	Started time.Time       `json:"started"` // when this process began
	Ready   bool            `json:"ready"`   // there was a good round
	Daemon  State           `json:"daemon"`
	Summary *report.Summary `json:"summary"`    // of the last good round; null before it
	Last    *Pass           `json:"lastGood"`   // null before the first
	Failed  *Pass           `json:"lastFailed"` // null before the first
	Rounds  []Pass          `json:"rounds"`     // the last ones, newest first

	Moving         []Moving        `json:"moving"`         // of the last good round, the most urgent first
	MovingUnlisted int             `json:"movingUnlisted"` // further ones
	Exposed        int             `json:"exposedPods"`    // of all ServiceAccounts that Git names
	IdentityProbes []IdentityProbe `json:"identityProbes"` // of features.identityProbe, at most 500; those that are not as Git asks first
	Steps          []Step          `json:"steps"`          // of the last hour, newest first
	StepsSince     time.Time       `json:"stepsSince"`     // from when on none is missing there; the log has all
}

// State is what is so of the daemon between rounds.
type State struct {
	Version        string        `json:"version"`
	Commit         string        `json:"commit"`
	Cluster        string        `json:"cluster"`
	Mode           string        `json:"mode"`
	Identity       string        `json:"identity"`       // this replica
	Leader         bool          `json:"leader"`         // whether it leads
	LeaderIdentity string        `json:"leaderIdentity"` // who does; empty if nobody is known to
	Source         Source        `json:"source"`
	Configuration  Configuration `json:"configuration"`
	Removals       Removals      `json:"removals"`
}

// Source is where Git is read from, and how far that has come.
type Source struct {
	URL        string    `json:"url"` // without credentials, query and fragment
	Ref        string    `json:"ref"`
	Paths      []string  `json:"paths"`
	Fetched    time.Time `json:"fetched,omitzero"` // when Git was last read well
	Accepted   string    `json:"accepted"`         // the revision that is obeyed, ref@sha1:commit
	AcceptedAt time.Time `json:"acceptedAt,omitzero"`
	Commit     *Commit   `json:"commit"` // what the accepted revision's says of itself; null before the first
	Held       *Held     `json:"held"`   // null if the head is the accepted revision
}

// Commit is what a commit says of itself, for which nobody vouches.
type Commit struct {
	Author  string    `json:"author"`
	Subject string    `json:"subject"`
	At      time.Time `json:"at"`
}

// Held is a head of Git that is not followed.
type Held struct {
	Head    string    `json:"head"`   // its commit; empty where it could not be read
	Reason  string    `json:"reason"` // unreachable, invalid, unsigned, rewound, empty
	Message string    `json:"message"`
	Since   time.Time `json:"since"`
}

// Configuration is the operator's file that is in force.
type Configuration struct {
	File     string    `json:"file"`
	SHA256   string    `json:"sha256"`
	LoadedAt time.Time `json:"loadedAt,omitzero"`
	Error    string    `json:"error"` // why a newer one was refused; empty if none was
}

// Removals is law 5's budget of the current hour.
type Removals struct {
	Left  int `json:"left"`
	Limit int `json:"limit"`
}

// Pass is one round, in short.
type Pass struct {
	Number   int             `json:"round"` // 0 where it failed before it was counted
	Started  time.Time       `json:"started"`
	Ended    time.Time       `json:"ended"`
	Good     bool            `json:"good"`
	Partial  bool            `json:"partial"` // one or several between two whole rounds, about some subjects
	Mode     string          `json:"mode,omitempty"`
	Revision string          `json:"revision,omitempty"`
	Summary  *report.Summary `json:"summary,omitempty"`
	Writes   int             `json:"writes"`
	Failures int             `json:"failures"`        // steps that failed
	Stage    string          `json:"stage,omitempty"` // at which a round failed
	Remedy   string          `json:"remedy,omitempty"`
	Error    string          `json:"error,omitempty"`
}
