package review

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/migrate"
	"github.com/lanyard-io/lanyard/migrate/outline"
	"github.com/lanyard-io/lanyard/sync/diff"
	"github.com/lanyard-io/lanyard/sync/live"
	"github.com/lanyard-io/lanyard/sync/plan"
)

// reviewer makes the workloads of a review.
type reviewer struct {
	in         Input
	base, head *side
	snap       *live.Snapshot
	caused     map[identity.Subject][]Finding
	heals      map[identity.Subject][]Finding
	users      map[identity.RoleARN][]identity.Subject // of the head: whose mappings name a role
}

// workloads are those that the pull request touches: whose mapping it changes, and those
// beside which it changes something that is decided about them too.
func (v *reviewer) workloads(all []pair) []Workload {
	roles := map[identity.RoleARN]bool{}
	for _, p := range all {
		if p.change != "" && p.change != Moved {
			for _, m := range []*desired.Mapping{p.was, p.is} {
				if m != nil {
					roles[m.Role], roles[m.PodIdentity.TargetRole] = true, true
				}
			}
		}
	}
	delete(roles, identity.RoleARN{})
	var close []pair
	some := map[identity.Subject]bool{}
	for _, p := range all {
		s := p.subject()
		news := len(v.caused[s])+len(v.heals[s]) > 0 || len(v.gaps(p)) > 0
		beside := p.change == "" && (roles[p.is.Role] || roles[p.is.PodIdentity.TargetRole])
		if p.change == "" && !news && !beside {
			continue
		}
		close = append(close, p)
		some[s] = true
		if p.was != nil {
			some[p.was.Subject] = true
		}
	}
	v.base.focus(some)
	v.head.focus(some)
	out := []Workload{}
	for _, p := range close {
		w := v.workload(p)
		if p.change != "" || w.Does {
			out = append(out, w)
		}
	}
	return out
}

// workload is one of them.
func (v *reviewer) workload(p pair) Workload {
	s := p.subject()
	w := Workload{Namespace: s.Namespace, ServiceAccount: s.ServiceAccount, Change: cmp.Or(p.change, Affected), mode: v.in.Mode, short: shorten(v.snap.Cluster()), subject: s, from: s, Fields: p.fields,
		Stays: []string{}, Restarts: []string{}, NeedRestart: []string{}, Owners: []string{}, OtherAccounts: []string{}, OtherClusters: []string{}, SharedWith: []string{}, Trust: []Room{},
		Reasons: []migrate.Reason{}, Warnings: []migrate.Reason{}, Holds: []migrate.Reason{}, Gaps: []live.Gap{}}
	if p.was != nil {
		w.from, w.was, w.Was, w.Role = p.was.Subject, p.was.At, p.was.At.String(), p.was.Role.String()
	}
	if p.is != nil {
		w.at, w.Position, w.Role = p.is.At, p.is.At.String(), p.is.Role.String()
	} else {
		w.at, w.Position = p.was.At, p.was.At.String()
	}
	bw, bj := v.base.trace(w.from)
	hw, hj := v.head.trace(s)
	base := v.base.way(w.from, bw, bj)
	w.Steps = v.head.way(s, hw, hj)
	if w.from != s {
		w.From = w.from.String()
		base = append(base, v.base.way(s, outline.Workload{}, nil)...)
		w.Steps = append(w.Steps, v.head.way(w.from, outline.Workload{}, nil)...)
	}
	var differ bool
	w.NoLonger, differ = fresh(base, w.Steps)
	w.stand(bw, hw, bj, hj)
	w.Does = differ || p.was == nil || p.is == nil || w.from != s || len(v.caused[s])+len(v.heals[s])+len(v.caused[w.from])+len(v.heals[w.from])+len(v.gaps(p)) > 0
	v.pods(&w, hj)
	v.others(&w, p)
	v.rooms(&w)
	if p.is == nil || w.from != s {
		w.Stays = v.stays(w.from, w.Steps, bj)
	}
	w.Left = []plan.Hold{}
	for _, h := range v.head.left(s) {
		if !slices.ContainsFunc(v.base.left(w.from), func(was plan.Hold) bool { return was.Reason == h.Reason && was.Message == h.Message }) {
			w.Left = append(w.Left, h)
		}
	}
	v.judge(&w, p, hw, hj)
	return w
}

// stand fills in where it stands, and what is thought of it, on both sides.
func (w *Workload) stand(bw, hw outline.Workload, bj, hj *diff.Judged) {
	if bj != nil {
		w.Declared.Base = bw.Declared
		w.Now, w.Wanted.Base, w.Class.Base, w.Verdict.Base = bj.On, bj.Wanted.String(), bj.Class.String(), bw.Verdict.String()
	}
	if hj != nil {
		w.Declared.Head = hw.Declared
		w.Now, w.Wanted.Head, w.Class.Head, w.Verdict.Head = hj.On, hj.Wanted.String(), hj.Class.String(), hw.Verdict.String()
		w.Phase, w.Reasons, w.Warnings, w.Holds, w.Gaps = hw.Phase, hw.Reasons, hw.Warnings, hw.Holds, hw.Gaps
	}
}

// gaps are the facts that the head needs of a mapping, and the snapshot has not.
func (v *reviewer) gaps(p pair) []Gap {
	h := v.head.judged(p.subject())
	if h == nil {
		return nil
	}
	var was []string
	if p.was != nil {
		if b := v.base.judged(p.was.Subject); b != nil {
			was = b.Unknown
		}
	}
	var out []Gap
	for _, what := range h.Unknown {
		if !slices.Contains(was, what) {
			out = append(out, Gap{Namespace: p.is.Subject.Namespace, ServiceAccount: p.is.Subject.ServiceAccount, What: what})
		}
	}
	return out
}

// pods fills in whose pods restart by lanyard, and whose must be restarted by somebody.
func (v *reviewer) pods(w *Workload, j *diff.Judged) {
	for _, s := range w.Steps {
		if !s.Old {
			w.Restarts = append(w.Restarts, s.Restarts...)
		}
	}
	annotates := slices.ContainsFunc(w.Steps, func(s Step) bool {
		return !s.Old && s.Plane == diff.PlaneServiceAccount && s.After != "" && s.subject() == w.subject
	})
	if j != nil && annotates && j.On == identity.IRSA && len(w.Restarts) == 0 {
		for _, p := range j.Pods {
			if p.Uses(identity.IRSA) {
				w.NeedRestart = append(w.NeedRestart, p.Namespace+"/"+p.Name)
			}
		}
	}
	slices.Sort(w.Restarts)
	slices.Sort(w.NeedRestart)
	for _, s := range []identity.Subject{w.subject, w.from} {
		workloads, _ := v.snap.Workloads(s)
		for _, one := range workloads {
			if name := one.Kind + " " + one.Namespace + "/" + one.Name; !one.Done && !slices.Contains(w.Owners, name) {
				w.Owners = append(w.Owners, name)
			}
		}
	}
	slices.Sort(w.Owners)
}

func (s Step) subject() identity.Subject {
	return identity.Subject{Namespace: s.Namespace, ServiceAccount: s.ServiceAccount}
}

// others fills in what else of the world the roles of a mapping reach.
func (v *reviewer) others(w *Workload, p pair) {
	m := cmp.Or(p.is, p.was)
	cluster := v.snap.Cluster()
	clusters := map[string]bool{}
	for _, role := range []identity.RoleARN{m.Role, m.PodIdentity.TargetRole} {
		if role.IsZero() {
			continue
		}
		if role.Account != cluster.Account {
			w.OtherAccounts = append(w.OtherAccounts, role.String())
		}
		for _, c := range v.clusters(role) {
			clusters[c] = true
		}
		for _, s := range v.users[role] {
			if len(w.SharedWith) == mostShared {
				break
			}
			if s != w.subject && !slices.Contains(w.SharedWith, s.String()) {
				w.SharedWith = append(w.SharedWith, s.String())
			}
		}
	}
	w.OtherClusters = append(w.OtherClusters, slices.Sorted(maps.Keys(clusters))...)
	slices.Sort(w.SharedWith)
}

// mostShared bounds how many mappings with the same role are named.
const mostShared = 100

// clusterTags are tags of roles by which tools say for which cluster they made them.
// Source: https://docs.aws.amazon.com/eks/latest/eksctl/iamserviceaccounts.html and the
// tags on what eksctl makes.
var clusterTags = []string{"alpha.eksctl.io/cluster-name", "eksctl.cluster.k8s.io/v1alpha1/cluster-name"}

// clusters names the other clusters that a role lets in, or was made for.
func (v *reviewer) clusters(role identity.RoleARN) (names []string) {
	c := v.snap.Cluster()
	doc, presence, err := v.snap.Trust(role)
	if presence != live.Present || err != nil {
		return nil
	}
	ours := c.Issuer.ProviderARN(role.Partition, role.Account)
	accesses, _ := doc.Allows()
	for _, a := range accesses {
		switch {
		case a.Provider != "" && a.Provider != ours && a.Provider != "*":
			_, issuer, _ := strings.Cut(a.Provider, ":oidc-provider/")
			names = append(names, "the cluster with issuer "+issuer)
		case a.Cluster != "" && a.Cluster != c.ARN() && !strings.Contains(a.Cluster, "*"):
			names = append(names, a.Cluster)
		}
	}
	r, _ := v.snap.Role(role)
	for _, key := range clusterTags {
		if name := r.Tags[key]; name != "" && name != c.Name {
			names = append(names, name+", by tag "+key)
		}
	}
	return names
}

// rooms adds up how large the trust policies become that the steps edit.
func (v *reviewer) rooms(w *Workload) {
	at := map[identity.RoleARN]int{}
	for _, s := range w.Steps {
		if s.now == 0 {
			continue
		}
		i, known := at[s.role]
		if !known {
			limit, _ := v.snap.TrustQuota(s.role.Account)
			i = len(w.Trust)
			at[s.role] = i
			w.Trust = append(w.Trust, Room{Role: s.role.String(), Now: s.now, Peak: s.now, Limit: limit})
		}
		r := &w.Trust[i]
		r.Peak, r.After = max(r.Peak, s.then), s.then
	}
}

// stays tells of a subject that left Git what goes on as it is.
func (v *reviewer) stays(s identity.Subject, steps []Step, was *diff.Judged) []string {
	out := []string{}
	goes := func(p diff.Plane, role string) bool {
		return slices.ContainsFunc(steps, func(st Step) bool {
			return st.subject() == s && st.Plane == p && st.By != ByOwner && (p != diff.PlaneTrust || st.role.String() == role && len(st.Loses) > 0)
		})
	}
	made := func(owner string) string {
		if owner == "" {
			return ""
		}
		return " (made by " + owner + ")"
	}
	account, _ := v.snap.ServiceAccount(s)
	if role := account.Annotations[diff.AnnotationRole]; role != "" && !goes(diff.PlaneServiceAccount, "") {
		out = append(out, "annotation "+diff.AnnotationRole+": "+role+made(diff.OwnerOfAnnotation(account, diff.AnnotationRole)))
	}
	if a, presence := v.snap.Association(s); presence == live.Present && !goes(diff.PlaneAssociation, "") {
		out = append(out, "association "+a.ID+" to role "+a.Role.String()+made(diff.OwnerOfAssociation(a, v.snap.Cluster())))
	}
	if was == nil {
		return out
	}
	var by []string
	for _, m := range []identity.Mechanism{identity.IRSA, identity.PodIdentity} {
		if was.Allows(v.snap.Cluster(), m, v.in.Policy.Diff) && !goes(diff.PlaneTrust, was.Mapping.Role.String()) {
			by = append(by, m.String())
		}
	}
	if len(by) > 0 {
		out = append(out, fmt.Sprintf("role %s lets it in by %s", was.Mapping.Role, strings.Join(by, " and ")))
	}
	if n := len(was.Pods); n > 0 {
		out = append(out, count(n, "pod")+" that run with what they have")
	}
	return out
}
