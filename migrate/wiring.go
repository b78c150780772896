package migrate

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/sync/diff"
	"github.com/lanyard-io/lanyard/sync/live"
	"github.com/lanyard-io/lanyard/sync/trust"
)

// AssociationQuota is how many associations a cluster may have. It cannot be raised.
// Source: https://docs.aws.amazon.com/eks/latest/userguide/pod-identities.html
const AssociationQuota = 5000

// widths are those of Pod Identity statements, narrowest first.
var widths = []identity.Width{identity.WidthPinned, identity.WidthCluster, identity.WidthAccount, identity.WidthBare}

// request is the call that the role's trust policy must allow.
func (l *look) request() trust.Request {
	return trust.Request{Mechanism: identity.PodIdentity, Subject: l.m.Subject, Cluster: l.snap.Cluster(),
		SessionTags: l.m.PodIdentity.SessionTags, OrgID: l.opts.OrganizationID, IgnoreOthers: true}
}

// trust judges whether the role lets EKS in for this ServiceAccount, or could be made to.
func (l *look) trust() {
	l.target()
	if l.m.Role.Account != l.snap.Cluster().Account {
		return // cross-account-role: no statement would help
	}
	role := l.m.Role
	doc, presence, err := l.snap.Trust(role)
	name := Fact{OfRole, role.String(), ""}
	switch {
	case presence == live.Unknown:
		return
	case presence == live.Absent:
		name.Detail = "does not exist"
		l.reason(TrustNotAdopted, []Fact{name}, "its role does not exist, and lanyard never creates one", "create the role where roles are made, or correct roleARN")
		return
	case err != nil:
		name.Detail = err.Error()
		l.reason(TrustNotAdopted, []Fact{name}, "the role's trust policy cannot be read as one, so lanyard does not edit it", "write the statement for Pod Identity where the role is made")
		return
	}
	quota, _ := l.snap.TrustQuota(role.Account)
	l.rooms(doc, quota)
	v := doc.Evaluate(l.request())
	if v.Decision == trust.Allow {
		return
	}
	grant := l.grant(l.m.PodIdentity.Trust)
	owner := diff.OwnerOfRole(live.Role{Tags: l.role().Tags})
	facts := []Fact{{OfRole, role.String(), made(owner)}}
	if v.Statement >= 0 {
		facts = append(facts, Fact{OfStatement, fmt.Sprintf("%d of %s", v.Statement+1, role.Name), v.Reason})
	} else {
		facts[0].Detail = strings.TrimPrefix(facts[0].Detail+": "+v.Reason, ": ")
	}
	if !l.m.Adopt.Trust && !slices.ContainsFunc(doc.Statements(), func(s trust.Statement) bool { return s.Sid == grant.Sid() }) {
		l.reason(TrustNotAdopted, facts, "the role's trust policy does not let Pod Identity in for this ServiceAccount, and the mapping does not adopt it",
			"add this statement to the trust policy of role "+role.Name+" where the role is made, or write adopt: [trust]\n"+string(grant.Statement())+"\n"+grant.HCL())
	}
	l.edit(doc, quota, facts)
}

// edit tries the edit that widening would make.
func (l *look) edit(doc *trust.Document, quota int, facts []Fact) {
	_, err := doc.Admit(l.request(), l.m.PodIdentity.Trust, quota)
	full, is := errors.AsType[*trust.QuotaError](err)
	switch {
	case err == nil:
	case is:
		l.reason(TrustFull, []Fact{{OfRole, l.m.Role.String(), full.Error()}},
			"the role's trust policy has no room for the statement in width "+l.m.PodIdentity.Trust.String(), l.roomier(full))
	default:
		l.reason(TrustNotAdopted, append(slices.Clone(facts), Fact{OfRole, l.m.Role.String(), err.Error()}),
			"lanyard cannot make the role's trust policy let Pod Identity in", "change the policy where the role is made")
	}
}

func (l *look) roomier(full *trust.QuotaError) string {
	const quota = "raise quota L-C07B4B0D, or take statements out"
	var fits []string
	for _, w := range full.Fits {
		if l.m.PodIdentity.SessionTags || !w.NeedsSessionTags() {
			fits = append(fits, w.String())
		}
	}
	if len(fits) == 0 {
		return quota
	}
	return "write podIdentity.trust: " + strings.Join(fits, " or ") + ", which would fit; or " + quota
}

// rooms works the size out for each width that the mapping may ask for.
func (l *look) rooms(doc *trust.Document, quota int) {
	for _, w := range widths {
		if l.opts.Brief {
			break
		}
		if w.NeedsSessionTags() && !l.m.PodIdentity.SessionTags {
			continue
		}
		e, err := doc.Add(l.grant(w), 0)
		if err != nil {
			l.out.Trust = []Room{}
			return
		}
		l.out.Trust = append(l.out.Trust, Room{Width: w, Before: e.Before, After: e.After, Limit: quota, Fits: quota == 0 || e.After <= quota})
	}
}

func (l *look) grant(w identity.Width) trust.Grant {
	return trust.Grant{Mechanism: identity.PodIdentity, Subject: l.m.Subject, Cluster: l.snap.Cluster(), Width: w, SessionTags: l.m.PodIdentity.SessionTags}
}

func (l *look) role() live.Role {
	r, _ := l.snap.Role(l.m.Role)
	return r
}

func made(owner string) string {
	if owner == "" {
		return ""
	}
	return "made by " + owner
}

// target judges the second role of a chain that EKS itself makes. lanyard never edits it.
// Source: https://docs.aws.amazon.com/eks/latest/userguide/pod-id-assign-target-role.html
func (l *look) target() {
	target := l.m.PodIdentity.TargetRole
	if target.IsZero() {
		return
	}
	doc, presence, err := l.snap.Trust(target)
	fact := Fact{OfRole, target.String(), "does not exist"}
	switch {
	case presence == live.Unknown:
		return
	case presence == live.Absent:
	case err != nil:
		fact.Detail = err.Error()
	default:
		v := doc.EvaluateChain(trust.ChainRequest{Caller: l.m.Role, Target: target, Subject: l.m.Subject, Cluster: l.snap.Cluster(),
			SessionTags: l.m.PodIdentity.SessionTags, ExternalID: l.association.ExternalID, OrgID: l.opts.OrganizationID})
		fact.Detail = v.Reason
		if v.Decision == trust.Allow {
			actions := []string{live.ActionAssumeRole, live.ActionTagSession}
			if !l.m.PodIdentity.SessionTags {
				actions = actions[:1]
			}
			if fact.Detail = l.withholds(l.m.Role, doc, target, actions...); fact.Detail == "" {
				return
			}
			fact.Detail = "lets it in, " + fact.Detail
		}
	}
	l.reason(TrustNotAdopted, []Fact{fact}, "the mapping's role may not surely assume the target role, and lanyard edits neither a target nor permissions",
		"let the target role's trust policy allow "+l.m.Role.String()+" to call sts:AssumeRole, and sts:TagSession with session tags on, and let that role's own policies allow the same on the target")
}

// quota counts the cluster's associations.
func (l *look) quota() {
	if n := len(l.snap.Facts().Associations); !l.associated && n >= AssociationQuota {
		l.reason(AssociationsFull, []Fact{{OfCluster, l.snap.Cluster().Name, fmt.Sprintf("has %d associations of %d", n, AssociationQuota)}},
			"the cluster has as many associations as EKS allows", "delete associations that nothing uses: lanyard audit lists those without a ServiceAccount")
	}
}

// foreign finds an association of others that is not what Git asks for.
func (l *look) foreign() {
	a, c := l.association, l.snap.Cluster()
	if !l.associated || a.OwnerARN != "" || diff.MayTakeAssociation(l.m, a, c) {
		return
	}
	wrong := diff.AssociationDifference(l.m, a)
	if a.Role != l.m.Role {
		wrong = append([]string{"role"}, wrong...)
	}
	if len(wrong) == 0 {
		return // correct and foreign counts
	}
	l.reason(AssociationForeign, []Fact{{OfAssociation, a.ID, strings.TrimPrefix(made(diff.OwnerOfAssociation(a, c))+"; not as Git asks: "+strings.Join(wrong, ", "), "; ")}},
		"an association stands that is not lanyard's and not what Git asks for", "change it where it is made, or write adopt: [association]")
}

// addonAccounts are the ServiceAccounts of EKS add-ons that use AWS.
// Source: https://docs.aws.amazon.com/eks/latest/userguide/workloads-add-ons-available-eks.html
var addonAccounts = map[string][]string{
	"vpc-cni":                         {"kube-system/aws-node"},
	"aws-ebs-csi-driver":              {"kube-system/ebs-csi-controller-sa"},
	"aws-efs-csi-driver":              {"kube-system/efs-csi-controller-sa"},
	"aws-fsx-csi-driver":              {"kube-system/fsx-csi-controller-sa"},
	"aws-mountpoint-s3-csi-driver":    {"kube-system/s3-csi-driver-sa"},
	"amazon-cloudwatch-observability": {"amazon-cloudwatch/cloudwatch-agent"},
	"adot":                            {"opentelemetry-operator-system/adot-collector"},
}

// addon finds what an EKS add-on owns: the association, by its owner; or the annotation,
// by the add-on's role. EKS would put its own back.
// Source: https://docs.aws.amazon.com/eks/latest/userguide/add-ons-iam.html
func (l *look) addon() {
	s := l.m.Subject
	var facts []Fact
	name := ""
	if a := l.association; a.OwnerARN != "" {
		name = "ADDON"
		if d, ok := l.snap.Addon(a); ok {
			name = d.Name
		} else if parts := strings.Split(a.OwnerARN, "/"); strings.Contains(a.OwnerARN, ":addon/") && len(parts) >= 3 {
			name = parts[2]
		}
		facts = append(facts, Fact{OfAddon, name, "owns association " + a.ID})
	}
	for _, d := range l.snap.Facts().Addons {
		if role := l.account.Annotations[annotationRole]; role != "" && role == d.ServiceAccountRole && l.ownedBy(d) {
			if name == "" || d.Name < name {
				name = d.Name
			}
			facts = append(facts, Fact{OfAddon, d.Name, "gives ServiceAccount " + s.String() + " the role " + role})
		}
	}
	if len(facts) == 0 {
		return
	}
	l.reason(AddonOwned, facts, "an EKS add-on owns this ServiceAccount's wiring, and EKS would undo a change",
		fmt.Sprintf("let EKS move it, and take it out of Git: aws eks update-addon --cluster-name %s --addon-name %s --pod-identity-associations %s",
			l.snap.Cluster().Name, name, l.addonAssociations(name)))
}

// addonAssociations lists what an add-on is to own: this ServiceAccount beside those that
// it owns already, because the update takes away what it does not list.
// Source: https://docs.aws.amazon.com/eks/latest/APIReference/API_UpdateAddon.html
func (l *look) addonAssociations(name string) string {
	out := []string{"serviceAccount=" + l.m.Subject.ServiceAccount + ",roleArn=" + l.m.Role.String()}
	for _, a := range l.snap.Facts().Associations {
		if d, ok := l.snap.Addon(a); ok && d.Name == name && a.Subject() != l.m.Subject {
			role := a.Role.String()
			if role == "" {
				role = "ROLE" // it was not described: whoever runs the command fills it in
			}
			out = append(out, "serviceAccount="+a.ServiceAccount+",roleArn="+role)
		}
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

// ownedBy reports whether an add-on wrote the annotation: it is known by the
// ServiceAccount, or by EKS's field manager.
func (l *look) ownedBy(d live.Addon) bool {
	return slices.Contains(addonAccounts[d.Name], l.m.Subject.String()) ||
		slices.ContainsFunc(l.account.Managers, func(m live.FieldManager) bool { return m.Annotation == annotationRole && m.Manager == "eks" })
}

// webhook: without EKS's webhook object nobody injects anything.
// Source: https://docs.aws.amazon.com/eks/latest/userguide/pod-id-how-it-works.html
func (l *look) webhook() {
	if l.snap.Whole(live.SourceWebhook) && !l.snap.Facts().Webhook.Present {
		l.reason(WebhookAbsent, []Fact{{OfCluster, l.snap.Cluster().Name, "has no MutatingWebhookConfiguration pod-identity-webhook"}},
			"EKS's webhook is not there, so no new pod would be given credentials", "ask AWS Support to restore it: EKS manages that object")
	}
}

// shared warns of others who use the same role, and blocks where what lets this one in
// could not be taken out alone: lanyard would be asked to narrow it, and could not.
func (l *look) shared() {
	users := l.users[l.m.Role]
	others := len(users)
	if _, found := slices.BinarySearchFunc(users, l.m.Subject, func(u user, s identity.Subject) int { return cmp.Compare(u.subject.String(), s.String()) }); found {
		others--
	}
	var facts []Fact
	for _, u := range users {
		if len(facts) == maxFacts-2 && others > len(facts) { // and a statement: where thousands share a role, each of them would name all
			facts = append(facts, Fact{Kind: OfMore, Name: fmt.Sprintf("and %d more", others-len(facts))})
			break
		}
		if u.subject != l.m.Subject {
			facts = append(facts, Fact{OfServiceAccount, u.subject.String(), "uses it by " + u.by})
		}
	}
	l.warn(SharedRole, facts, "others use the same role: its trust policy must have room for each, and what one may do all may",
		"give each ServiceAccount a role of its own")
	if len(facts) == 0 || !l.m.Adopt.Trust || l.m.Migration.Cleanup != "full" {
		return
	}
	doc, presence, err := l.snap.Trust(l.m.Role)
	if presence != live.Present || err != nil {
		return
	}
	c := l.snap.Cluster()
	_, err = doc.Remove(trust.Request{Mechanism: identity.IRSA, Subject: l.m.Subject, Cluster: c, OrgID: l.opts.OrganizationID,
		Provider: c.Issuer.ProviderARN(l.m.Role.Partition, l.m.Role.Account), Audience: diff.DefaultAudience})
	if shared, is := errors.AsType[*trust.SharedError](err); is {
		l.reason(SharedRole, append(facts, Fact{OfStatement, fmt.Sprintf("%d of %s", shared.Statement+1, l.m.Role.Name), shared.Why}),
			"the statement that lets it in by IRSA lets others in as well, and cannot be taken out for one alone",
			"write a statement for each ServiceAccount in place of the shared one, or keep the old trust with migration.cleanup: keep-trust")
	}
}
