package awsd

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// podIdentityService is the service principal that EKS Pod Identity assumes roles as, and
// the audience of the tokens that it takes.
// Source: https://docs.aws.amazon.com/eks/latest/userguide/pod-id-role.html
const podIdentityService = "pods.eks.amazonaws.com"

// assumption is one attempt to assume a role.
type assumption struct {
	roleARN        string
	action         string // sts:AssumeRole or sts:AssumeRoleWithWebIdentity.
	caller         caller
	admin          bool  // The caller is an account's administrator.
	callerRole     *Role // Whose policies the caller has, if it is a role session.
	sessionName    string
	externalID     string
	sourceIdentity string
	tags           map[string]string // Session tags, inherited ones too.
	transitive     []string
	context        map[string][]string // What the kind of caller adds; lower-case keys.
}

// refusal is an attempt denied: the action that was missing, and why, for people.
type refusal struct{ action, reason string }

func (r refusal) Error() string { return r.action + ": " + r.reason }

// judge says whether the role may be assumed, by its trust policy as STS sees it now.
func (s *Server) judge(a assumption, now time.Time) (Role, *refusal) {
	role, ok := s.role(a.roleARN, func(v *versioned[Role]) (Role, bool) { return v.asOf(now.Add(-s.consistency.Trust)) })
	if !ok {
		return Role{}, &refusal{a.action, "role " + a.roleARN + " does not exist"}
	}
	trust, err := s.parse(role.Trust)
	if err != nil {
		return Role{}, &refusal{a.action, "trust policy: " + err.Error()}
	}
	actions := []string{a.action}
	if len(a.tags) > 0 {
		actions = append(actions, "sts:TagSession")
	}
	if a.sourceIdentity != "" {
		actions = append(actions, "sts:SetSourceIdentity")
	}
	context := s.contextOf(a, now)
	for _, action := range actions {
		r := request{caller: a.caller, action: action, resource: a.roleARN, context: context}
		d := trust.decide(r)
		if !d.allowed {
			return Role{}, &refusal{action, d.reason}
		}
		if refused := s.judgeIdentity(a, r, d.named); refused != nil {
			return Role{}, refused
		}
	}
	return role, nil
}

// judgeIdentity asks the caller's own policies. Within an account a trust policy that names
// the caller is enough; otherwise both sides must allow.
// Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic-cross-account.html
func (s *Server) judgeIdentity(a assumption, r request, named bool) *refusal {
	if a.caller.account == "" || a.admin || a.callerRole == nil {
		return nil
	}
	role := a.callerRole
	docs := slices.Collect(maps.Values(role.Inline))
	for _, p := range role.Attached {
		if doc := s.policies[p].Document; doc != "" {
			docs = append(docs, doc)
		}
	}
	allowed := false
	for _, doc := range docs {
		p, err := s.parse(doc)
		if err != nil {
			continue // IAM would not hold such a policy; it grants nothing.
		}
		d := p.decide(r)
		if d.denied {
			return &refusal{r.action, "a policy of " + role.ARN + " denies it"}
		}
		allowed = allowed || d.allowed
	}
	account, _, _, _ := roleName(a.roleARN)
	if allowed || named && account == a.caller.account {
		return nil
	}
	return &refusal{r.action, "no policy of " + role.ARN + " allows it"}
}

// contextOf returns the request context that STS judges with.
// Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html
func (s *Server) contextOf(a assumption, now time.Time) map[string][]string {
	ctx := maps.Clone(a.context)
	if ctx == nil {
		ctx = map[string][]string{}
	}
	set := func(key, value string) {
		if value != "" {
			ctx[strings.ToLower(key)] = []string{value}
		}
	}
	set("aws:CurrentTime", now.UTC().Format(time.RFC3339))
	set("aws:EpochTime", strconv.FormatInt(now.Unix(), 10))
	set("aws:SecureTransport", "true")
	set("aws:SourceIp", "127.0.0.1")
	set("sts:RoleSessionName", a.sessionName)
	set("sts:ExternalId", a.externalID)
	set("sts:SourceIdentity", a.sourceIdentity)
	account, _, _, _ := roleName(a.roleARN)
	set("aws:ResourceAccount", account)
	set("aws:ResourceOrgID", s.organization(account))
	set("aws:PrincipalIsAWSService", strconv.FormatBool(a.caller.service != ""))
	if a.caller.account != "" {
		set("aws:PrincipalAccount", a.caller.account)
		set("aws:PrincipalArn", a.caller.arn)
		set("aws:PrincipalOrgID", s.organization(a.caller.account))
	}
	for k, v := range a.tags {
		set("aws:RequestTag/"+k, v)
		ctx["aws:tagkeys"] = append(ctx["aws:tagkeys"], k)
	}
	if len(a.transitive) > 0 {
		ctx["sts:transitivetagkeys"] = a.transitive
	}
	return ctx
}

func (s *Server) organization(account string) string {
	if st := s.accounts[account]; st != nil {
		return st.OrganizationID
	}
	return ""
}

// addPrincipalTags puts the tags of a role and its session into a request context.
func addPrincipalTags(ctx map[string][]string, role Role, tags map[string]string) {
	for _, m := range []map[string]string{role.Tags, tags} {
		for k, v := range m {
			ctx[strings.ToLower("aws:PrincipalTag/"+k)] = []string{v}
		}
	}
}

// newSession makes temporary credentials of a role.
func (s *Server) newSession(role Role, name string, tags map[string]string, transitive []string, life time.Duration, now time.Time) session {
	s.forgetSessions(now)
	s.made++
	id := strings.ToUpper(made(fmt.Sprintf("key %d %s", s.made, role.ARN), 16))
	ses := session{
		keyID: "ASIA" + id, secret: made("secret "+id, 40), token: "sandbox-session-" + made("token "+id, 40),
		role: role, name: name, expires: now.Add(life), tags: tags, transitive: map[string]bool{},
		arn: sessionARN(role.ARN, name),
	}
	for _, k := range transitive {
		ses.transitive[k] = true
	}
	s.sessions[ses.keyID] = ses
	return ses
}

func sessionARN(roleARN, name string) string {
	a, _ := parseARN(roleARN)
	_, _, role, _ := roleName(roleARN)
	return arn{a.partition, "sts", "", a.account, "assumed-role/" + role + "/" + name}.String()
}

// webIdentity judges a token of a role's OIDC provider. The order of the checks is that of
// STS's answers: the token, the provider, the audience, then the trust policy.
// Source: https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html
func (s *Server) webIdentity(roleARN string, c Claims, sessionName string, now time.Time) (Role, *apiError) {
	provider, err := s.providerFor(roleARN, c)
	if err != nil {
		return Role{}, err
	}
	if !slices.ContainsFunc(c.Audience, func(a string) bool { return slices.Contains(provider.ClientIDs, a) }) {
		return Role{}, errIdentityToken("Incorrect token audience")
	}
	url := provider.URL()
	role, refused := s.judge(assumption{
		roleARN: roleARN, action: "sts:AssumeRoleWithWebIdentity", sessionName: sessionName,
		caller: caller{provider: provider.ARN},
		context: map[string][]string{
			strings.ToLower(url + ":sub"): {c.subject()},
			strings.ToLower(url + ":aud"): c.Audience,
			"aws:federatedprovider":       {provider.ARN},
		},
	}, now)
	if refused != nil {
		return Role{}, &apiError{status: 403, code: "AccessDenied",
			message: "Not authorized to perform sts:AssumeRoleWithWebIdentity", why: refused.reason}
	}
	return role, nil
}

// providerFor finds the OIDC provider of a token's issuer in the account of a role.
func (s *Server) providerFor(roleARN string, c Claims) (Provider, *apiError) {
	account, _, _, _ := roleName(roleARN)
	if st := s.accounts[account]; st != nil {
		if p, ok := st.providers[strings.TrimPrefix(c.Issuer, "https://")]; ok {
			return p, nil
		}
	}
	return Provider{}, errIdentityToken("No OpenIDConnect provider found in your account for %s", c.Issuer)
}

// podSession is what EKS Auth obtained for a pod: the role in the end, and its session tags.
type podSession struct {
	role       Role
	assumed    bool // The association's own role was assumed, whatever became of its target.
	name       string
	tags       map[string]string
	transitive []string
	life       time.Duration
}

// podIdentity judges the one or two assumptions that an association asks for.
// Sources: https://docs.aws.amazon.com/eks/latest/userguide/pod-id-abac.html,
// https://docs.aws.amazon.com/eks/latest/userguide/pod-id-assign-target-role.html
func (s *Server) podIdentity(st *clusterState, a Association, podName, podUID string, now time.Time) (podSession, *refusal) {
	key, _ := parseClusterARN(st.ARN)
	ps := podSession{life: 6 * time.Hour, name: podSessionName(key.name, podName, podUID)}
	if !a.DisableSessionTags {
		ps.tags = map[string]string{
			"eks-cluster-arn": st.ARN, "eks-cluster-name": key.name, "kubernetes-namespace": a.Namespace,
			"kubernetes-service-account": a.ServiceAccount, "kubernetes-pod-name": podName, "kubernetes-pod-uid": podUID,
		}
		ps.transitive = slices.Sorted(maps.Keys(ps.tags))
	}
	first := assumption{
		roleARN: a.RoleARN, action: "sts:AssumeRole", sessionName: ps.name, tags: ps.tags, transitive: ps.transitive,
		caller: caller{service: podIdentityService},
		context: map[string][]string{
			"aws:sourceaccount": {key.account}, "aws:sourcearn": {st.ARN}, "aws:principalservicename": {podIdentityService},
		},
	}
	if org := s.organization(key.account); org != "" {
		first.context["aws:sourceorgid"] = []string{org}
	}
	role, refused := s.judge(first, now)
	ps.assumed = refused == nil
	if refused != nil || a.TargetRoleARN == "" {
		ps.role = role
		return ps, refused
	}
	second := assumption{
		roleARN: a.TargetRoleARN, action: "sts:AssumeRole", sessionName: ps.name, tags: ps.tags, transitive: ps.transitive,
		caller: sessionCaller(role, ps.name), callerRole: &role, context: map[string][]string{},
	}
	if a.DisableSessionTags {
		second.externalID = a.ExternalID
	}
	addPrincipalTags(second.context, role, ps.tags)
	ps.role, refused = s.judge(second, now)
	ps.life = time.Hour
	return ps, refused
}

func sessionCaller(role Role, sessionName string) caller {
	a, _ := parseARN(role.ARN)
	return caller{account: a.account, arn: role.ARN,
		session: arn{a.partition, "sts", "", a.account, "assumed-role/" + nameOf(role) + "/" + sessionName}.String()}
}

// podSessionName follows names seen in CloudTrail; AWS documents no format.
func podSessionName(cluster, pod, uid string) string {
	return "eks-" + cluster[:min(10, len(cluster))] + "-" + pod[:min(10, len(pod))] + "-" + uuidOf(cluster+pod+uid)
}
