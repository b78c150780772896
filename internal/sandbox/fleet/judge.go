package fleet

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lanyard-io/lanyard/internal/sandbox/actors"
)

// Judgement is what came of it, so far.
type Judgement struct {
	Requests int      // for credentials, by all pods
	Failed   int      // of them, by pods that law 1 protects
	Exposed  int      // of them, by pods that the delete of an association exposed
	Broken   []string // what failed, and what lanyard must not have done
	Tally
}

// Judge reads the books. Whatever is not excused by the delete of an association counts:
// this fleet has no new nodes, and all of it worked from the start.
func (f *Fleet) Judge() Judgement {
	r := f.prober.Report()
	j := Judgement{Requests: r.Probes, Exposed: len(r.Exposed), Tally: f.tally.clone(), Failed: r.Forgotten}
	for _, p := range slices.Concat(r.Broken, r.Young, r.Unproven) {
		j.Failed++
		j.Broken = append(j.Broken, p.String())
	}
	j.Broken = append(j.Broken, f.tally.Wrong...)
	return j
}

// place is where a workload is found.
type place struct {
	association bool
	annotation  bool
	marked      bool
	trusts      map[Side]bool
	pods        map[Side]int
	unready     int
}

// Strays says of each workload that is not where it belongs what is wrong with it, and of
// all others where they rest.
func (f *Fleet) Strays(ctx context.Context) (strays []string, rests map[Rest]int, err error) {
	if err := f.list(ctx); err != nil {
		return nil, nil, err
	}
	rests = map[Rest]int{}
	for _, w := range f.Workloads {
		p, err := f.find(ctx, w)
		if err != nil {
			return nil, nil, err
		}
		rest := w.Rest(f.wants)
		if wrong := p.differs(w, f.wants, rest); len(wrong) > 0 {
			strays = append(strays, fmt.Sprintf("%s, to be %s on the way to %s: %s", w, rest, f.wants, strings.Join(wrong, ", ")))
			continue
		}
		rests[rest]++
	}
	for _, s := range slices.SortedFunc(maps.Keys(f.exposed), func(a, b Subject) int { return strings.Compare(a.String(), b.String()) }) {
		strays = append(strays, fmt.Sprintf("pods of %s are still exposed", s))
	}
	return strays, rests, nil
}

func (f *Fleet) find(ctx context.Context, w Workload) (place, error) {
	p := place{trusts: map[Side]bool{}, pods: map[Side]int{}}
	account, err := f.kube.CoreV1().ServiceAccounts(w.Namespace).Get(ctx, w.ServiceAccount, metav1.GetOptions{})
	if err != nil {
		return p, err
	}
	p.annotation = account.Annotations[actors.RoleARNAnnotation] == w.Role
	_, p.marked = account.Annotations[RolledBackMark]
	a, there := f.AWS.Association(f.ARN, w.Namespace, w.ServiceAccount)
	p.association = there && a.RoleARN == w.Role
	role, _ := f.AWS.Role(w.Role)
	for _, s := range []Side{IRSA, PodIdentity} {
		p.trusts[s] = trusts(role.Trust, s, w.Subject())
	}
	for _, pod := range f.pods[w.Subject()] {
		if pod.Labels["app"] != w.Name {
			continue
		}
		p.pods[side(pod)]++
		if !actors.Ready(pod) && pod.Status.Phase == corev1.PodRunning {
			p.unready++
		}
	}
	return p, nil
}

// differs says in what a workload is not where it rests.
func (p place) differs(w Workload, to Side, rest Rest) []string {
	var out []string
	want := func(what string, have, want bool) {
		if have != want {
			out = append(out, what+map[bool]string{true: " is missing", false: " is there"}[want])
		}
	}
	on, off := to, PodIdentity
	if rest == Kept || rest == RolledBack {
		on = IRSA
	}
	if on == PodIdentity {
		off = IRSA
	}
	cleans := rest == Settled
	want("the association", p.association, on == PodIdentity)
	want("the annotation", p.annotation, on == IRSA || !cleans || w.Cleanup == "keep-annotation")
	want("the trust for "+string(on), p.trusts[on], true)
	if rest != Kept {
		want("the trust for "+string(off), p.trusts[off], !cleans || w.Cleanup != "")
	}
	want("the mark of a rollback", p.marked, w.Broken)
	if n := p.pods[off] + p.pods[""]; n > 0 {
		out = append(out, fmt.Sprintf("%d pods are not on %s", n, on))
	}
	if w.Kind != "Job" && w.Kind != "CronJob" {
		if n := p.pods[on]; n != w.Replicas {
			out = append(out, fmt.Sprintf("%d of %d pods are on %s", n, w.Replicas, on))
		}
		if p.unready > 0 {
			out = append(out, fmt.Sprintf("%d pods are not ready", p.unready))
		}
	}
	return out
}

// trusts reports whether a trust policy has a statement for a ServiceAccount on a side: by
// its words alone, for whether it lets anybody in is for AWS and the judge to say.
func trusts(policy string, on Side, s Subject) bool {
	var doc struct{ Statement []json.RawMessage }
	if json.Unmarshal([]byte(policy), &doc) != nil {
		return false
	}
	return slices.ContainsFunc(doc.Statement, func(raw json.RawMessage) bool {
		text := string(raw)
		if on == IRSA {
			return strings.Contains(text, `"sts:AssumeRoleWithWebIdentity"`) && strings.Contains(text, fmt.Sprintf(`"system:serviceaccount:%s:%s"`, s.Namespace, s.ServiceAccount))
		}
		return strings.Contains(text, `"pods.eks.amazonaws.com"`) && strings.Contains(text, fmt.Sprintf("%q", s.Namespace)) && strings.Contains(text, fmt.Sprintf("%q", s.ServiceAccount))
	})
}
