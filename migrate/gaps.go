package migrate

import (
	"cmp"
	"slices"
	"strings"

	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/sync/diff"
	"github.com/lanyard-io/lanyard/sync/live"
)

// everywhere are the required reads of which any gap concerns every subject: what one
// page or one object of them would have told, cannot be known.
var everywhere = []live.Source{
	live.SourceNodes, live.SourceWebhook, live.SourceCluster, live.SourceIssuer,
	live.SourceListFargateProfiles, live.SourceDescribeFargate, live.SourceListAddons, live.SourceDescribeAddon,
}

// scoped are the required reads of which a gap concerns the subject that it names, or
// all. The agent's pods and workloads concern all, too: see [Assessor.agentless].
var scoped = []live.Source{live.SourceServiceAccounts, live.SourcePods, live.SourceWorkloads, live.SourceListAssociations}

// gaps collects the required reads that have no answer (design.md section 6).
func (l *look) gaps() {
	c := l.snap.Cluster()
	for _, g := range l.snap.Gaps() {
		if slices.Contains(everywhere, g.Source) ||
			slices.Contains(scoped, g.Source) && (g.Scope == "" || g.Scope == l.m.Subject.String() || g.Scope == agentSubject.String()) ||
			g.Source == live.SourceDescribeAssociation && l.association.ID != "" && (g.Scope == "" || g.Scope == l.association.ID) {
			l.out.Gaps = append(l.out.Gaps, g)
		}
	}
	if a, presence := l.snap.Association(l.m.Subject); presence == live.Unknown && a.ID != "" {
		l.unread(live.SourceDescribeAssociation, a.ID, "the association's role is not known")
	}
	for _, p := range l.snap.Facts().FargateProfiles {
		if !p.Described {
			l.unread(live.SourceDescribeFargate, p.Name, "the selectors of the Fargate profile are not known")
		}
	}
	for _, d := range l.snap.Facts().Addons {
		if !d.Described {
			l.unread(live.SourceDescribeAddon, d.Name, "what the add-on owns is not known")
		}
	}
	l.roleGaps(l.m.Role)
	if target := l.m.PodIdentity.TargetRole; !target.IsZero() {
		l.roleGaps(target)
	}
	provider := c.Issuer.ProviderARN(l.m.Role.Partition, l.m.Role.Account)
	if _, presence := l.snap.Provider(provider); presence == live.Unknown {
		l.unread(live.SourceProvider, provider, "the OIDC provider was not read", l.m.Role.Account)
	}
	if _, presence := l.snap.TrustQuota(l.m.Role.Account); presence == live.Unknown {
		l.unread(live.SourceAccountSummary, l.m.Role.Account, "the quota of trust policies was not read", l.m.Role.Account)
	}
	slices.SortFunc(l.out.Gaps, func(x, y live.Gap) int {
		return cmp.Or(cmp.Compare(x.Source, y.Source), cmp.Compare(x.Scope, y.Scope), cmp.Compare(x.Reason, y.Reason), cmp.Compare(x.Message, y.Message))
	})
	l.out.Gaps = slices.Compact(l.out.Gaps)
}

// roleGaps notes that the role or its policies were not read.
func (l *look) roleGaps(role identity.RoleARN) {
	_, presence := l.snap.Role(role)
	if presence == live.Unknown {
		l.unread(live.SourceRole, role.String(), "the role was not read", role.Account)
		return
	}
	if _, presence := l.snap.Policies(role); presence == live.Unknown {
		l.unread(live.SourceAuthorizationDetails, role.Account, "the permission policies of role "+role.Name+" were not read", role.Account)
	}
}

// unread notes a missing fact by the gaps that explain it: those of its own source and
// scope, or those that shut the whole account. Where none does, nobody asked.
func (l *look) unread(source live.Source, scope, message string, account ...string) {
	found := false
	for _, g := range l.snap.Gaps() {
		shut := len(account) > 0 && g.Scope == account[0] &&
			slices.Contains([]live.Source{live.SourceAssumeRole, live.SourceRoles, live.SourceAuthorizationDetails, live.SourceListProviders, live.SourceAccountSummary}, g.Source)
		if g.Source == source && (g.Scope == "" || g.Scope == scope) || shut {
			l.out.Gaps = append(l.out.Gaps, g)
			found = true
		}
	}
	if !found {
		l.out.Gaps = append(l.out.Gaps, live.Gap{Source: source, Scope: scope, Reason: live.GapFailed, Message: message})
	}
}

// optionals are the reads whose gaps are warnings.
var optionals = []live.Source{live.SourceBudgets, live.SourceNetworkPolicies, live.SourceReaders, live.SourceDescribeNodeGroup}

// optional warns of what was not read and need not be: what it would have shown may
// still stand in the way.
func (l *look) optional() {
	var facts []Fact
	for _, g := range l.snap.Gaps() {
		if slices.Contains(optionals, g.Source) {
			facts = append(facts, Fact{OfRead, strings.TrimSuffix(string(g.Source)+" "+g.Scope, " "), string(g.Reason) + ": " + g.Message})
		}
	}
	for _, p := range l.places {
		for _, n := range p.nodes {
			if f, unread := l.unreadNodeRoles[n.Labels[labelGroup]]; unread {
				facts = append(facts, f)
			}
		}
	}
	l.containers(func(w live.Workload, c live.Template) {
		if c.Proxy == live.ProxyUnseen {
			facts = append(facts, containerFact(w, c, "takes its proxy from a reference, which is not read"))
		}
	})
	l.warn(OptionalUnread, facts, "some reads have no answer, so what they would have shown is not known to be absent", "grant what lanyard policy prints, and look again")
}

// holds says what an eligible workload waits for, as far as the snapshot shows it.
func (l *look) holds() {
	hold := func(code Code, fact Fact, message, fix string) {
		l.out.Holds = append(l.out.Holds, Reason{code, message, []Fact{fact}, fix})
	}
	account := Fact{OfServiceAccount, l.m.Subject.String(), ""}
	if why := l.m.Migration.Hold; why != "" {
		account.Detail = why
		hold(Held, account, "the mapping holds it: "+why, "take migration.hold out of the mapping")
	}
	namespace, _ := l.snap.Namespace(l.m.Subject.Namespace)
	if why := cmp.Or(l.account.Annotations[diff.PauseMark], namespace.Pause); why != "" {
		account.Detail = diff.PauseMark + ": " + why
		hold(Paused, account, "steps forward are paused: "+why, "take the annotation "+diff.PauseMark+" off the ServiceAccount or its namespace")
	}
	if w := l.m.Migration.Windows; !w.Open(l.snap.Facts().TakenAt) {
		account.Detail = w.String()
		hold(OutsideWindow, account, "a crossing starts in its window only, which is "+w.String(), "wait, or change migration.window")
	}
}
