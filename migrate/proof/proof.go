package proof

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/cloudtrail"
	"golang.org/x/time/rate"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/migrate"
)

// LookupAPI is what is read of one Region's CloudTrail. [cloudtrail.Client] satisfies
// it; nothing in it writes.
type LookupAPI interface {
	LookupEvents(context.Context, *cloudtrail.LookupEventsInput, ...func(*cloudtrail.Options)) (*cloudtrail.LookupEventsOutput, error)
}

// Options are what a [Prover] looks with.
type Options struct {
	// CloudTrail returns the client for a Region, in the cluster's account; nil where the
	// configuration does not turn features.cloudtrail on.
	CloudTrail func(region string) LookupAPI
	Cluster    identity.Cluster
	Prometheus string       // base URL of its API; empty: none is configured
	HTTP       *http.Client // whose transport asks Prometheus; the default's if nil
	Now        func() time.Time
	Limits     Limits
}

// Limits bound how much and how long a [Prover] asks. Zero values mean the defaults.
type Limits struct {
	// Rate is how many calls a second go to CloudTrail in one Region; 1, of the 2 that all
	// tools of the account share there.
	// Source: https://docs.aws.amazon.com/awscloudtrail/latest/APIReference/API_LookupEvents.html
	Rate  rate.Limit
	Pages int           // of one kind of event that one look reads; 4, of 50 events each
	Every time.Duration // how long what was read is good enough; 1 minute
	Back  time.Duration // how far a sweep goes back; 8 days, so that a weekly run is in it
	Look  time.Duration // for a look; 10 s
	Query time.Duration // for one question to Prometheus; 5 s
}

func (l Limits) withDefaults() Limits {
	pick := func(v *time.Duration, d time.Duration) {
		if *v <= 0 {
			*v = d
		}
	}
	if l.Rate <= 0 {
		l.Rate = 1
	}
	if l.Pages <= 0 {
		l.Pages = 4
	}
	pick(&l.Every, time.Minute)
	pick(&l.Back, 8*24*time.Hour)
	pick(&l.Look, 10*time.Second)
	pick(&l.Query, 5*time.Second)
	return l
}

// Ask is a question about one subject.
type Ask struct {
	Subject     identity.Subject
	Role        identity.RoleARN   // of the mapping
	Wanted      identity.Mechanism // IRSA or PodIdentity
	Provider    string             // ARN of the OIDC provider that IRSA needs; the one of the cluster's issuer in the role's account if empty
	Since       time.Time          // the crossing: what was before it proves nothing. Zero asks for the last hours
	Proof       desired.Proof
	Query       string // for desired.ProofQuery
	SessionTags bool   // whether the association has them: without, no event of Pod Identity names the subject
	Global      bool   // whether the workload may ask the global endpoint of STS (irsa.stsRegionalEndpoints: false)
}

// Prover looks for proof. It remembers what it read of CloudTrail, so that each event is
// read once. It is safe for use by several goroutines; looks wait for each other.
type Prover struct {
	o     Options
	trail *trail // nil: CloudTrail is off
	mu    sync.Mutex
}

// New returns a prover that has seen nothing.
func New(o Options) *Prover {
	if o.Now == nil {
		o.Now = time.Now
	}
	o.Limits = o.Limits.withDefaults()
	p := &Prover{o: o}
	if o.CloudTrail != nil {
		p.trail = newTrail(o)
	}
	return p
}

// What to do where CloudTrail cannot show a use.
const instead = "let migration.proof be query or declared"

// Look answers all that is asked, in bounded time: what could not be read by then is
// read on in later looks.
func (p *Prover) Look(ctx context.Context, asks []Ask) map[identity.Subject]migrate.Use {
	p.mu.Lock()
	defer p.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, p.o.Limits.Look)
	defer cancel()
	now := p.o.Now()
	var group sync.WaitGroup
	if p.trail != nil {
		group.Go(func() { p.trail.sweep(ctx, now, asks) })
	}
	answers := p.queries(ctx, asks)
	group.Wait()
	uses := make(map[identity.Subject]migrate.Use, len(asks))
	for _, a := range asks {
		uses[a.Subject] = p.use(a, now, answers)
	}
	return uses
}

// use puts together what was seen of one subject. A use of the other side is told
// whatever counts as proof: it holds.
func (p *Prover) use(a Ask, now time.Time, answers map[string]answer) migrate.Use {
	var u migrate.Use
	if p.trail == nil {
		u.Why = "CloudTrail is not read: turn features.cloudtrail on in the configuration and grant what lanyard policy --feature cloudtrail prints, or " + instead
	} else {
		u = p.trail.use(a, now)
	}
	switch a.Proof {
	case desired.ProofDeclared:
		if u.New.IsZero() {
			u.Why = "the mapping's author vouches for it (migration.proof: declared), so nothing has to be shown"
		}
	case desired.ProofQuery:
		u.New, u.Why = time.Time{}, ""
		got := answers[a.Query]
		if got.proof {
			u.New = now
		}
		if u.Why = got.why; got.answered {
			u.Looked = now
		} else {
			u.Looked = time.Time{}
		}
	}
	return u
}

// both joins reasons, each once.
func both(reasons ...string) string {
	var out []string
	for _, r := range reasons {
		if r != "" && !slices.Contains(out, r) {
			out = append(out, r)
		}
	}
	return strings.Join(out, "; ")
}
