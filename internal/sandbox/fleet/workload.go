package fleet

import (
	"fmt"
	"slices"
	"strings"
)

// Side is one of the two mechanisms, in the words of Git.
type Side string

// The sides.
const (
	IRSA        Side = "irsa"
	PodIdentity Side = "pod-identity"
)

// Rest is where a workload belongs in the end.
type Rest string

// The places of rest.
const (
	Settled    Rest = "settled"     // on the side that Git wants, and the other one is gone
	Kept       Rest = "kept"        // on IRSA, since Pod Identity cannot serve it
	RolledBack Rest = "rolled-back" // back on IRSA, since its image cannot use Pod Identity
	Held       Rest = "held"        // on the side that Git wants, and the other one stays: it has never run
)

// Workload is one owner of pods.
type Workload struct {
	Namespace, Kind, Name string
	ServiceAccount        string
	Role                  string // ARN
	Replicas              int
	Why                   string // Pod Identity cannot serve it: fargate, windows, ...
	Broken                bool   // its image crash-loops with Pod Identity's variables
	Paused                bool   // its owner paused its rollouts
	OnDelete              bool   // it replaces no pod by itself
	Budget                bool   // a disruption budget lets one of its pods go
	Auto                  bool   // Git leaves the mechanism to lanyard
	Cleanup               string // what Git lets be taken away in the end; everything if empty
}

// Subject is a ServiceAccount.
type Subject struct{ Namespace, ServiceAccount string }

// String returns "namespace/name".
func (s Subject) String() string { return s.Namespace + "/" + s.ServiceAccount }

// Subject returns the workload's ServiceAccount.
func (w Workload) Subject() Subject { return Subject{w.Namespace, w.ServiceAccount} }

// String returns "Kind namespace/name".
func (w Workload) String() string { return w.Kind + " " + w.Namespace + "/" + w.Name }

// Rest says where the workload belongs once Git wants a side.
func (w Workload) Rest(to Side) Rest {
	switch {
	case w.Why != "":
		return Kept
	case w.Broken && to == PodIdentity:
		return RolledBack
	case w.Replicas == 0:
		return Held
	}
	return Settled
}

const (
	account      = "123456789012"
	otherAccount = "210987654321"
	clusterName  = "irsa-lab"
	clusterARN   = "arn:aws:eks:eu-west-1:" + account + ":cluster/" + clusterName
	issuer       = "https://oidc.eks.eu-west-1.amazonaws.com/id/EXAMPLED539D4633E53DE1B71EXAMPLE"
	audience     = "sts.amazonaws.com"
)

func roleARN(account, name string) string { return "arn:aws:iam::" + account + ":role/" + name }

// size is how many there are of what there can be many of.
type size struct{ web, single, stateful, daemon, cron, kept, broken int }

// catalogue lists the workloads of a fleet.
func catalogue(small bool) []Workload {
	n := size{web: 17, single: 6, stateful: 5, daemon: 3, cron: 5, kept: 7, broken: 2}
	if small {
		n = size{web: 2, single: 1, stateful: 1, daemon: 1, cron: 1, kept: 1, broken: 1}
	}
	var out []Workload
	add := func(w Workload) {
		if w.ServiceAccount == "" {
			w.ServiceAccount = w.Name
		}
		if w.Role == "" {
			w.Role = roleARN(account, "eks-"+clusterName+"-"+w.Namespace+"-"+w.ServiceAccount)
		}
		out = append(out, w)
	}
	for i := range n.web {
		add(Workload{Namespace: "web", Kind: "Deployment", Name: fmt.Sprintf("front-%02d", i+1), Replicas: 2 + i%3, Budget: i == 0, Auto: i%5 == 1,
			Cleanup: map[int]string{2: "keep-trust", 3: "keep-annotation"}[i]})
	}
	for i := range n.single {
		add(Workload{Namespace: "tools", Kind: "Deployment", Name: fmt.Sprintf("single-%02d", i+1), Replicas: 1})
	}
	for i := range n.stateful {
		add(Workload{Namespace: "data", Kind: "StatefulSet", Name: fmt.Sprintf("store-%02d", i+1), Replicas: 3 - 2*(i%2), Budget: i == 0})
	}
	for i := range n.daemon {
		add(Workload{Namespace: "nodes", Kind: "DaemonSet", Name: fmt.Sprintf("collector-%02d", i+1), Replicas: computeNodes, OnDelete: i == 0})
	}
	for i := range n.cron {
		add(Workload{Namespace: "batch", Kind: "CronJob", Name: fmt.Sprintf("report-%02d", i+1), Replicas: 1})
	}
	add(Workload{Namespace: "shared", Kind: "Deployment", Name: "api", ServiceAccount: "app", Replicas: 2})
	add(Workload{Namespace: "shared", Kind: "StatefulSet", Name: "queue", ServiceAccount: "app", Replicas: 2})
	one := roleARN(account, "eks-"+clusterName+"-shared-by-several")
	add(Workload{Namespace: "shared", Kind: "Deployment", Name: "reader", Replicas: 2, Role: one})
	add(Workload{Namespace: "shared", Kind: "Deployment", Name: "writer", Replicas: 2, Role: one})
	add(Workload{Namespace: "ops", Kind: "Deployment", Name: "paused", Replicas: 2, Paused: true})
	add(Workload{Namespace: "ops", Kind: "Deployment", Name: "idle", Replicas: 0})
	if !small {
		add(Workload{Namespace: "shared", Kind: "Deployment", Name: "worker", ServiceAccount: "app", Replicas: 3})
		add(Workload{Namespace: "shared", Kind: "CronJob", Name: "sweep", ServiceAccount: "site", Replicas: 1})
		add(Workload{Namespace: "shared", Kind: "Deployment", Name: "site", Replicas: 2})
	}
	add(Workload{Namespace: "batch", Kind: "Job", Name: "import", Replicas: 1})
	for i := range n.kept {
		add(kept(i))
	}
	for i := range n.broken {
		add(Workload{Namespace: "legacy", Kind: "Deployment", Name: fmt.Sprintf("old-sdk-%02d", i+1), Replicas: 3, Broken: true})
	}
	return out
}

// kept is the i-th workload that Pod Identity cannot serve.
func kept(i int) Workload {
	why := []string{"fargate", "cross-account-role", "windows", "chained-role"}[i%4]
	w := Workload{Kind: "Deployment", Replicas: 2, Why: why, Auto: i%2 == 1, Name: fmt.Sprintf("%s-%d", strings.TrimSuffix(why, "-role"), i/4+1), Namespace: "stays"}
	switch why {
	case "fargate":
		w.Namespace = fargateNamespace
	case "cross-account-role":
		w.Role = roleARN(otherAccount, "eks-"+clusterName+"-"+w.Name)
	}
	return w
}

// subjects lists the ServiceAccounts of some workloads, each once.
func subjects(all []Workload) []Subject {
	var out []Subject
	for _, w := range all {
		if !slices.Contains(out, w.Subject()) {
			out = append(out, w.Subject())
		}
	}
	return out
}

// Files are what Git says when all that can is to be on a side, by path.
func (f *Fleet) Files(to Side) map[string]string {
	out := map[string]string{}
	for _, s := range subjects(f.Workloads) {
		w := f.of(s)[0]
		mechanism := string(to)
		if w.Auto && (to == PodIdentity || w.Why != "") { // of the others that stay, Git asks for what cannot be
			mechanism = "auto"
		}
		more := ""
		if w.Cleanup != "" {
			more = ", cleanup: " + w.Cleanup
		}
		if w.Kind == "StatefulSet" && w.Replicas == 1 {
			more += ", allowDisruption: true"
		}
		path := "fleet/" + s.Namespace + ".yaml"
		out[path] += fmt.Sprintf(`---
apiVersion: lanyard.io/v1alpha1
kind: IdentityMapping
metadata: {name: %s, namespace: %s}
spec:
  roleARN: %s
  mechanism: %s
  adopt: [annotation, trust, association]
  migration: {soak: %s, proof: declared%s}
`, s.ServiceAccount, s.Namespace, w.Role, mechanism, f.o.Soak, more)
	}
	return out
}

// of returns the workloads of a ServiceAccount.
func (f *Fleet) of(s Subject) []Workload {
	return slices.DeleteFunc(slices.Clone(f.Workloads), func(w Workload) bool { return w.Subject() != s })
}
