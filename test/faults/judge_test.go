package faults_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lanyard-io/lanyard/internal/sandbox"
	"github.com/lanyard-io/lanyard/sync/live"
	"github.com/lanyard-io/lanyard/sync/report"
)

// world's things, by a key that says what they are, and their bytes.
type things map[string]string

const nextPod = "the next pod of "

// judge looks at the sandbox after each write, and notes which laws are broken. It goes
// by the sandbox's own state and oracle.
type judge struct {
	world  *sandbox.World
	budget int // removals that the operator allows in an hour

	mu     sync.Mutex
	start  things
	last   things
	worked map[string]map[string]bool // by pod and container, or by subject: the roles that it may have, once it had one
	may    map[string]bool            // what a clean run changes; nil: anything that is not foreign
	roles  map[string]map[string]bool // by subject, the roles that its pods have in a clean run
	cursor int                        // of the record of AWS
	sent   []string                   // what was asked to be written since the last round's end
	writes int
	first  func() // called after the first write
	gone   []time.Time
	broken []string
	most   int // looks that were taken
}

func newJudge(w *world) (*judge, error) {
	j := &judge{world: w.World, budget: budget, worked: map[string]map[string]bool{}}
	var err error
	if j.start, err = j.state(context.Background()); err != nil {
		return nil, err
	}
	j.last = j.start
	_, j.cursor = w.AWS.Calls(0)
	j.look(context.Background())
	return j, nil
}

// follows makes the judge hold the world to what a clean run did.
func (j *judge) follows(clean *judge) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.may, j.roles = map[string]bool{}, map[string]map[string]bool{}
	for key := range clean.start {
		j.may[key] = clean.last[key] != clean.start[key]
	}
	for key, value := range clean.last {
		j.may[key] = value != clean.start[key]
	}
	for who, roles := range clean.worked {
		if subject, is := strings.CutPrefix(who, nextPod); is {
			j.roles[subject] = maps.Clone(roles)
		}
	}
}

// called is told that AWS was called, and looks if the call may have written.
func (j *judge) called(ctx context.Context) {
	j.mu.Lock()
	calls, cursor := j.world.AWS.Calls(j.cursor)
	j.cursor = cursor
	wrote := false
	for _, c := range calls {
		if c.Mutating {
			wrote = true
			j.sent = append(j.sent, c.Service+":"+c.Operation+" "+c.Resource+" "+c.Params)
		}
	}
	j.mu.Unlock()
	if wrote {
		j.look(context.WithoutCancel(ctx))
	}
}

// look judges laws 1, 3 and 5.
func (j *judge) look(ctx context.Context) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.most++
	now, err := j.state(ctx)
	if err != nil {
		j.breaks(0, "the judge cannot see: %v", err)
		return
	}
	j.access(ctx)
	j.foreign(now)
	j.removed(now)
	if !maps.Equal(now, j.last) {
		j.writes++
		if j.writes == 1 && j.first != nil {
			j.first()
		}
	}
	j.last = now
}

func (j *judge) breaks(law int, format string, args ...any) {
	const enough = 12
	if len(j.broken) < enough {
		j.broken = append(j.broken, fmt.Sprintf("law %d: ", law)+fmt.Sprintf(format, args...))
	}
}

// access judges law 1: who could get credentials still can, for a role that it had or
// that Git names.
func (j *judge) access(ctx context.Context) {
	running, err := j.world.Credentials(ctx)
	if err != nil {
		j.breaks(1, "ask the oracle: %v", err)
		return
	}
	for _, g := range running {
		j.granted("pod "+g.Namespace+"/"+g.Pod+" "+g.Container, g)
	}
	client := j.world.Client("oracle").CoreV1()
	accounts, err := client.ServiceAccounts("").List(ctx, metav1.ListOptions{})
	if err != nil {
		j.breaks(1, "list ServiceAccounts: %v", err)
		return
	}
	for _, a := range accounts.Items {
		if a.Namespace == "kept" && a.Name != "kept-00" {
			continue // all of a kind
		}
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: a.Namespace, Name: "next"},
			Spec: corev1.PodSpec{ServiceAccountName: a.Name, Containers: []corev1.Container{{Name: "main", Image: "example.com/next:1"}}}}
		admitted, err := client.Pods(a.Namespace).Create(ctx, pod, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		if err != nil {
			j.breaks(1, "admit a pod of %s/%s: %v", a.Namespace, a.Name, err)
			continue
		}
		for _, g := range j.world.Grants(admitted) {
			j.granted(nextPod+a.Namespace+"/"+a.Name, g)
		}
	}
}

func (j *judge) granted(who string, g sandbox.Grant) {
	roles := j.worked[who]
	switch {
	case g.Role == "" && roles != nil:
		if strings.HasPrefix(who, nextPod+"gone/") {
			return // it has left Git, and nothing uses it
		}
		j.breaks(1, "%s has no credentials any more (%s): %s", who, g.Mechanism, g.Reason)
	case g.Role == "":
	case roles == nil:
		j.worked[who] = map[string]bool{g.Role: true}
	case j.may == nil:
		roles[g.Role] = true
	case !roles[g.Role] && !j.roles[g.Namespace+"/"+g.ServiceAccount][g.Role]:
		j.breaks(1, "%s has credentials of %s, which is neither Git's role nor the one before %v", who, g.Role, slices.Sorted(maps.Keys(roles)))
	}
}

// foreign judges law 3: nothing changes but what a clean run changes, and other
// people's parts of that not at all.
func (j *judge) foreign(now things) {
	for key, was := range j.start {
		if now[key] != was && (strings.Contains(key, " foreign") || j.may != nil && !j.may[key]) {
			j.breaks(3, "%s was %q and is %q", key, was, now[key])
		}
	}
	for key, is := range now {
		if _, had := j.start[key]; !had && j.may != nil && !j.may[key] {
			j.breaks(3, "%s was not there and is %q", key, is)
		}
	}
}

// removed judges law 5: what bore our mark goes only so fast.
func (j *judge) removed(now things) {
	at := j.world.Clock.Now()
	for key := range j.last {
		ours := strings.HasPrefix(key, "association ") && strings.HasSuffix(key, " role") || strings.Contains(key, " statement Lanyard")
		if _, stays := now[key]; ours && !stays {
			j.gone = append(j.gone, at)
		}
	}
	j.gone = slices.DeleteFunc(j.gone, func(t time.Time) bool { return at.Sub(t) >= time.Hour })
	if len(j.gone) > j.budget {
		j.breaks(5, "%d removals within an hour, and the operator allows %d", len(j.gone), j.budget)
	}
}

// patched is told of a write to a ServiceAccount.
func (j *judge) patched(subject string) {
	j.mu.Lock()
	j.sent = append(j.sent, "patch serviceaccounts "+subject)
	j.mu.Unlock()
	j.look(context.Background())
}

// round judges law 2 at the end of a round: nothing was sent about a subject of which
// something was missing.
func (j *judge) round(r report.Round) {
	j.mu.Lock()
	defer j.mu.Unlock()
	sent := j.sent
	j.sent = nil
	for _, g := range r.Gaps {
		for _, what := range sent {
			if missing(g, what) {
				j.breaks(2, "sent %.120s in a round with the gap %s", what, g)
			}
		}
	}
}

// missing reports whether a write was about a subject, or a role, of which the gap hides
// something that makes the write safe.
func missing(g live.Gap, write string) bool {
	operation, about, _ := strings.Cut(write, " ")
	cut := g.Reason == live.GapTruncated // what came before the end is known
	switch g.Source {
	case live.SourceServiceAccounts, live.SourcePods, live.SourceCluster:
		return true
	case live.SourceListAssociations:
		return !cut || operation == "eks:CreatePodIdentityAssociation" || operation == "eks:DeletePodIdentityAssociation"
	case live.SourceWorkloads: // they may make pods that use what is deleted
		return operation == "eks:DeletePodIdentityAssociation"
	case live.SourceRoles, live.SourceAuthorizationDetails: // roles are then read one by one
		return operation == "eks:DeletePodIdentityAssociation"
	case live.SourceRole, live.SourceDescribeAssociation: // of one, by its ARN or ID
		name := g.Scope[strings.LastIndex(g.Scope, "/")+1:]
		return name != "" && strings.Contains(about, name)
	}
	return false // the rest is of no single subject, and repairs do without
}

// asked lists what lanyard asked to be written, done or not.
func (j *judge) asked() []string {
	calls, _ := j.world.AWS.Calls(0)
	var out []string
	for _, c := range calls {
		if c.Mutating {
			out = append(out, c.Service+":"+c.Operation)
		}
	}
	for _, c := range j.world.Kube.Calls("lanyard") {
		if c.Mutating && c.Resource != "leases" && c.Resource != "events" {
			out = append(out, c.Verb+" "+c.Resource)
		}
	}
	return out
}

// verdict returns the laws that were broken, and forgets them.
func (j *judge) verdict() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	out := j.broken
	j.broken = nil
	return out
}

// now returns the world's things and how many writes changed them.
func (j *judge) now(ctx context.Context) (things, int) {
	j.look(ctx)
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.last, j.writes
}

// fresh forgets the removals: a process that has just started counts from zero, where
// no Lease remembers (design.md, law 9).
func (j *judge) fresh() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.gone = nil
}

// state returns everything that lanyard could change.
func (j *judge) state(ctx context.Context) (things, error) {
	out := things{}
	for _, account := range []string{"123456789012", "210987654321"} {
		for _, r := range j.world.AWS.Roles(account) {
			if err := out.role(r.ARN, r.Trust); err != nil {
				return nil, err
			}
		}
	}
	for _, a := range j.world.AWS.Associations(clusterARN) {
		key := "association " + a.Namespace + "/" + a.ServiceAccount
		out[key+" role"] = a.RoleARN
		out[key+" settings"] = fmt.Sprint(a.TargetRoleARN, a.Policy, a.DisableSessionTags, a.OwnerARN)
		for name, value := range a.Tags {
			out[key+" tag "+name] = value
		}
	}
	accounts, err := j.world.Client("oracle").CoreV1().ServiceAccounts("").List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	for _, a := range accounts.Items {
		key := "ServiceAccount " + a.Namespace + "/" + a.Name
		out[key+" uid"] = string(a.UID)
		for name, value := range a.Annotations {
			out[key+" annotation "+name] = value
		}
		for name, value := range a.Labels {
			out[key+" label "+name] = value
		}
	}
	return out, nil
}

// role takes a trust policy apart: what others wrote, as one text, and lanyard's own
// statements.
func (t things) role(arn, trust string) error {
	var doc struct{ Statement []json.RawMessage }
	if err := json.Unmarshal([]byte(trust), &doc); err != nil {
		var one struct{ Statement json.RawMessage }
		if json.Unmarshal([]byte(trust), &one) != nil {
			return fmt.Errorf("trust policy of %s: %w", arn, err)
		}
		doc.Statement = []json.RawMessage{one.Statement}
	}
	var foreign []string
	for _, raw := range doc.Statement {
		var s struct{ Sid string }
		if err := json.Unmarshal(raw, &s); err != nil {
			return fmt.Errorf("trust policy of %s: %w", arn, err)
		}
		if strings.HasPrefix(s.Sid, "Lanyard") {
			t["role "+arn+" statement "+s.Sid] = string(raw)
		} else {
			foreign = append(foreign, string(raw))
		}
	}
	t["role "+arn+" foreign statements"] = strings.Join(foreign, "\n")
	return nil
}
