package explain

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/migrate"
	"github.com/lanyard-io/lanyard/sync/diff"
	"github.com/lanyard-io/lanyard/sync/live"
	"github.com/lanyard-io/lanyard/sync/plan"
	"github.com/lanyard-io/lanyard/sync/trust"
)

// walk is one walk: what Git asks for, and what is explained, which are two things where
// Git asks for what is not there yet or cannot be.
type walk struct {
	snap    *live.Snapshot
	subject identity.Subject
	opts    Options

	wish  *look          // of Git's mapping; nil where there is none
	found []diff.Finding // about Git and the cluster, whoever names the subject
	shown *look          // whose links are told; nil where nothing is wired
	j     *diff.Judged   // of shown

	assessed *migrate.Assessment // of shown, once it was asked for
}

// look is one comparison, of one mapping.
type look struct {
	j      *diff.Judged
	result diff.Result
	repair plan.Plan
}

// begin compares what Git asks for, and what stands where that is another thing.
func begin(state desired.State, snap *live.Snapshot, s identity.Subject, o Options) (*walk, error) {
	o.Policy.Settle = 0 // what lanyard would do is asked, not when
	w := &walk{snap: snap, subject: s, opts: o}
	whole := diff.Compare(state, snap, o.Policy.Diff)
	w.found = whole.Findings
	if _, named := state.Mapping(s); named {
		w.wish = w.look(state, whole)
		w.shown = w.wish
	}
	if w.wish == nil || w.wish.waits() {
		w.shown = nil
		m, wired := standing(snap, s)
		if wired {
			state.Mappings = []desired.Mapping{m}
			w.shown = w.look(state, diff.Compare(state, snap, o.Policy.Diff))
		}
	}
	if w.shown != nil {
		w.j = w.shown.j
		return w, nil
	}
	if _, presence := snap.ServiceAccount(s); w.wish == nil && presence == live.Absent {
		return nil, fmt.Errorf("there is no ServiceAccount or pod %s, and Git does not name one: correct the name, or look at the cluster that has it", s)
	}
	return w, nil
}

func (w *walk) look(state desired.State, result diff.Result) *look {
	i := slices.IndexFunc(result.Judged, func(j diff.Judged) bool { return j.Mapping.Subject == w.subject })
	repair, _ := plan.Repair(plan.Input{Revision: state.Revision, Result: result, Snapshot: w.snap, Policy: w.opts.Policy})
	return &look{&result.Judged[i], result, repair}
}

// waits reports whether what Git asks for is not what pods get, so that its links would
// say nothing about them: it cannot be, or the subject is on IRSA still.
func (l *look) waits() bool {
	return l.j.Lacks(diff.MappingInvalid) || l.j.Wanted == identity.PodIdentity && l.j.On == identity.IRSA
}

// standing is the mapping of what stands; false where nothing that is known is wired.
func standing(snap *live.Snapshot, s identity.Subject) (desired.Mapping, bool) {
	account, _ := snap.ServiceAccount(s)
	a, associated := snap.Association(s)
	text, m := account.Annotations[diff.AnnotationRole], identity.IRSA
	if associated == live.Present {
		text, m = a.Role.String(), identity.PodIdentity
	}
	role, err := identity.ParseRoleARN(text)
	if err != nil {
		return desired.Mapping{}, false
	}
	out := desired.Undeclared(s, role, m)
	out.Adopt = desired.Adopt{}
	if m == identity.PodIdentity {
		p := &out.PodIdentity
		p.SessionTags, p.TargetRole, p.SessionPolicy, p.Trust = !a.SessionTagsOff, a.TargetRole, a.SessionPolicy, identity.WidthBare
	}
	return out, true
}

// stands reports whether what stands is explained, and not what Git asks for.
func (w *walk) stands() bool { return w.shown != w.wish || w.wish == nil }

func (w *walk) mechanism() identity.Mechanism {
	if w.j == nil {
		return identity.None
	}
	return w.j.Wanted
}

func (w *walk) role() string {
	if w.j == nil {
		return ""
	}
	return w.j.Mapping.Role.String()
}

// link says how one link is.
func (w *walk) link(name string) Link {
	l := Link{Name: name, State: Good, Evidence: []string{}, Fix: []string{}}
	switch {
	case name == "git":
		w.git(&l)
	case name == "webhook":
		w.webhook(&l)
	case w.j == nil && name == "service-account":
		w.account(&l)
	case w.j == nil:
		w.unwired(&l)
	case name == "chained-roles":
		w.chained(&l)
	default:
		w.tell(&l, w.shown, w.shown.result.Findings)
		w.hindered(&l)
	}
	if l.State == Good {
		if missing := w.missing(name); missing != "" {
			w.unread(&l, missing)
		} else if why := w.unjudged(name); why != "" {
			l.State, l.Says = Unknown, why
			l.Fix = append(l.Fix, "mend the links before it first, then look again")
		} else if l.Says == "" {
			l.Says = w.good(name)
		}
	}
	l.Fix = slices.Compact(l.Fix)
	return l
}

// tell puts what was found about a link into it.
func (w *walk) tell(l *Link, from *look, findings []diff.Finding) {
	var says []string
	for _, f := range findings {
		if w.linkOf(f, from) != l.Name || f.Subject != w.subject && !f.Subject.IsZero() {
			continue
		}
		if w.toKnow(f) {
			l.Evidence = append(l.Evidence, "to know: "+f.Message)
			continue
		}
		if l.State = Broken; f.Kind == diff.TrustUndecidable {
			l.State = Unknown
		}
		says = append(says, f.Message)
		l.Evidence = append(l.Evidence, fmt.Sprintf("%s: expected %s; actually %s", f.Kind, f.Expected, f.Actual))
		if f.Position.File != "" {
			l.Evidence = append(l.Evidence, "Git says so at "+f.Position.String())
		}
		l.Owner = cmp.Or(l.Owner, f.Owner)
		l.Fix = append(l.Fix, w.fixes(l, from, f)...)
	}
	l.Says = strings.Join(says, "; ")
}

// linkOf says on which link a finding shows. What stands cannot be invalid for Git's
// sake: then its wiring is.
func (w *walk) linkOf(f diff.Finding, from *look) string {
	if f.Kind == diff.MappingInvalid && from != w.wish {
		return "wiring"
	}
	return linkOf[f.Kind]
}

// toKnow reports whether a finding breaks nothing for the pods.
func (w *walk) toKnow(f diff.Finding) bool {
	switch f.Kind {
	case diff.RevisionStale, diff.MappingGone, diff.TrustTooWide:
		return true
	}
	link := linkOf[f.Kind]
	return f.Severity == diff.Info && link != "trust" && link != "oidc-provider" // info there: of the side that is left
}

// git says what Git asks for, and whether that is what is explained.
func (w *walk) git(l *Link) {
	about := func(f diff.Finding) bool { return linkOf[f.Kind] == "git" }
	w.tell(l, w.wish, slices.DeleteFunc(slices.Clone(w.found), func(f diff.Finding) bool { return !about(f) }))
	switch {
	case w.wish == nil || !w.stands():
	case w.j == nil:
		l.Evidence = append(l.Evidence, "nothing is wired yet, so there is no chain behind it")
	case l.State == Good:
		j := w.wish.j
		l.Says = fmt.Sprintf("%s asks for %s with role %s; it is on %s still, and that is explained", j.Mapping.At, j.Wanted, j.Mapping.Role.Name, w.j.Wanted)
		l.Evidence = append(l.Evidence, fmt.Sprintf("to know: `lanyard plan %s` shows what moves it", w.subject))
	default:
		l.Evidence = append(l.Evidence, fmt.Sprintf("it is on %s, and the other links are of that", w.j.Wanted))
	}
}

func (w *walk) webhook(l *Link) {
	if w.snap.Whole(live.SourceWebhook) && !w.snap.Facts().Webhook.Present {
		l.State, l.Says = Broken, "EKS's webhook pod-identity-webhook is not there, so no new pod is given credentials"
		l.Fix = append(l.Fix, "ask AWS Support to restore MutatingWebhookConfiguration pod-identity-webhook: EKS manages that object")
	}
}

// account says whether the ServiceAccount is there, where there is nothing to compare.
func (w *walk) account(l *Link) {
	if _, presence := w.snap.ServiceAccount(w.subject); presence == live.Absent {
		l.State, l.Says = Broken, "ServiceAccount "+w.subject.String()+" does not exist"
		l.Fix = append(l.Fix, "create ServiceAccount "+w.subject.String()+" where its workload is made")
	}
}

// unwired says why there is no chain: nothing names a role, or what names one is none.
func (w *walk) unwired(l *Link) {
	account, _ := w.snap.ServiceAccount(w.subject)
	text := account.Annotations[diff.AnnotationRole]
	if w.missing(l.Name) != "" && text == "" {
		return // told as unknown
	}
	l.State, l.Owner = Broken, diff.OwnerOfAnnotation(account, diff.AnnotationRole)
	annotate := "annotate the ServiceAccount where it is made: " + diff.AnnotationRole + ": arn:aws:iam::ACCOUNT:role/NAME"
	if text != "" {
		l.Says = fmt.Sprintf("annotation %s is %q, which is no role ARN: pods are given it, and STS refuses it", diff.AnnotationRole, text)
		l.Fix = append(l.Fix, annotate+", then restart the pods")
		return
	}
	l.Says = "it is wired to no role: its pods get what their node gives, or nothing"
	l.Evidence = append(l.Evidence, "it has no annotation "+diff.AnnotationRole+" and no Pod Identity association")
	if pods, presence := w.snap.Pods(w.subject); presence == live.Present && len(pods) > 0 {
		l.Evidence = append(l.Evidence, fmt.Sprintf("pods of it: %d", len(pods)))
	}
	l.Fix = append(l.Fix, "declare a mapping for it in Git, or "+annotate, "then restart its pods: what they have was given to them when they were made")
}

// good says what a link that is good is.
func (w *walk) good(name string) string {
	if name == "git" {
		if w.wish == nil {
			return "Git does not name it, so what stands is explained"
		}
		m := w.wish.j.Mapping
		return fmt.Sprintf("%s asks for %s with role %s", m.At, cmp.Or(w.wish.j.Wanted, m.Mechanism), m.Role.Name)
	}
	switch name {
	case "service-account":
		return "ServiceAccount " + w.subject.String() + " is there"
	case "webhook":
		return "EKS's webhook is there"
	case "wiring":
		if w.j.Wanted == identity.PodIdentity {
			return "association " + w.j.Association.ID + " gives it role " + w.j.Association.Role.String()
		}
		return "its annotation names role " + w.j.ServiceAccount.Annotations[diff.AnnotationRole]
	case "pods":
		return w.given()
	case "agent":
		return w.agents()
	case "oidc-provider":
		says := fmt.Sprintf("account %s has the provider of %s", w.j.Mapping.Role.Account, w.snap.Cluster().Issuer)
		if audiences := w.j.Audiences(); len(audiences) > 0 {
			says += ", with audience " + strings.Join(audiences, ", ")
		}
		return says
	case "role":
		return "role " + w.j.Mapping.Role.String() + " exists"
	}
	return w.j.Trust.Reason
}

// given says what pods have; of the one that was asked about, container by container.
func (w *walk) given() string {
	switch {
	case len(w.j.Pods) == 0 && w.opts.Pod != "":
		return "pod " + w.opts.Pod + " is over, or on its way out"
	case len(w.j.Pods) == 0:
		return "no pod of it runs"
	case w.opts.Pod == "":
		return fmt.Sprintf("its pods were given what is wired: %d", len(w.j.Pods))
	}
	var all []string
	for _, c := range w.j.Pods[0].Containers {
		all = append(all, c.Name+" "+string(c.Credential))
	}
	return "pod " + w.opts.Pod + " was given what is wired: " + strings.Join(all, ", ")
}

// agents says where a ready agent was seen.
func (w *walk) agents() string {
	n := 0
	for _, p := range w.j.Pods {
		if p.Uses(identity.PodIdentity) {
			n++
		}
	}
	if n == 0 {
		return "no pod of it asks an agent yet"
	}
	return fmt.Sprintf("an agent is ready on the node of each pod that asks one: %d", n)
}

// unjudged says why a link that nothing was found about is not good either: what comes
// before it was in the way.
func (w *walk) unjudged(name string) string {
	if w.j == nil {
		return ""
	}
	if w.j.Lacks(diff.MappingInvalid) && !slices.Contains(unwired, name) {
		return "not judged: its wiring cannot work as it is"
	}
	switch name {
	case "wiring":
		if w.j.Lacks(diff.ServiceAccountMissing) && w.j.Wanted == identity.IRSA {
			return "not judged: there is no ServiceAccount to annotate"
		}
	case "oidc-provider":
		if _, presence := w.snap.Provider(w.provider()); presence == live.Absent {
			return "not judged, since role " + w.role() + " is not there; nor is provider " + w.provider()
		}
	case "trust":
		switch {
		case w.j.Wanted == identity.None:
			return "not judged: it was not read which mechanism it is on"
		case w.j.Trust.Decision != trust.Allow:
			return "not judged: " + cmp.Or(w.j.Trust.Reason, "role "+w.role()+" is not there")
		}
	}
	return ""
}

// provider is the ARN of the OIDC provider that the chain goes through.
func (w *walk) provider() string {
	role := w.j.Mapping.Role
	return w.snap.Cluster().Issuer.ProviderARN(role.Partition, role.Account)
}
