package observe

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/sync/live"
)

// Roles are read in bulk or one by one, whichever is fewer calls. In bulk there are
// two ways:
//
//	GetAccountAuthorizationDetails  trust, tags, policies; a broad permission, so it may be refused
//	ListRoles                       trust, session duration; no tags
//
// GetAccountSummary, asked anyway for the size quota of trust policies, says how many
// roles there are, and so how many pages.
//
// A statement of lanyard's on a role that nothing names any more is found in bulk only.
// So the first look at an account is in bulk whatever is asked for, and from then on one
// look in each Options.DescribeInterval; the roles that bear such a statement are looked
// at in between too. A small fleet in an account of 5,000 roles pays six pages for that,
// once in the interval. Where neither bulk read is granted, such roles stay unseen.
// Source: https://docs.aws.amazon.com/IAM/latest/APIReference/API_GetAccountAuthorizationDetails.html
//
// Permission policies come with GetAccountAuthorizationDetails and in no other way: role by
// role they would cost two calls and two more for each managed policy. So they are as old
// as the latest sweep, and a role that is new since brings the next one forward.

const (
	iamPage     = 1000            // the largest page of IAM's lists
	blindly     = 10              // roles to read one by one where nobody says how many pages there are
	maxSingly   = 500             // roles to read one by one where both bulk reads are refused
	detailsRest = time.Hour       // before a refused GetAccountAuthorizationDetails is tried again
	sweepRest   = 5 * time.Minute // between two sweeps for the policies of new roles
)

// ourSid begins the Sids of lanyard's own statements (design.md section 5).
const ourSid = `"Lanyard`

// account is what an Observer knows of one AWS account between looks.
type account struct {
	line       *line
	pages      int       // that the latest bulk read took
	noDetails  time.Time // until when GetAccountAuthorizationDetails counts as refused
	sweepAt    time.Time // when to read in bulk whatever is asked for; zero before the first look
	seen       live.Account
	policies   map[identity.RoleARN][]live.Policy // as the latest GetAccountAuthorizationDetails told; nil before it
	policiesAt time.Time
	chained    map[identity.RoleARN]bool // roles that others' policies name
	missing    map[identity.RoleARN]bool // roles that the latest look did not find
	ourMarksOn map[identity.RoleARN]bool // roles whose trust bore a statement of lanyard's
}

func (o *Observer) account(id string) *account {
	o.mu.Lock()
	defer o.mu.Unlock()
	a := o.accounts[id]
	if a == nil {
		a = &account{line: newLine(o.limits.IAM, o.limits, o.opts.waits(serviceIAM)), ourMarksOn: map[identity.RoleARN]bool{}, chained: map[identity.RoleARN]bool{}}
		o.accounts[id] = a
	}
	return a
}

// visit is one look at one account.
type visit struct {
	o    *Observer
	id   string
	iam  IAMReader
	a    *account
	gaps *gaps
	now  time.Time
	// letIn are texts of trust policies by which roles are told that nobody named: set
	// for an audit, see Ask.Audit.
	letIn []string

	shut      error // the way in does not work: nothing else is asked
	listTried bool  // OIDC providers were asked for, whatever came
	roles     map[identity.RoleARN]live.Role
	facts     struct {
		account   *live.Account
		providers []live.OIDCProvider
	}
}

// enter opens a visit of an account, in which nothing is known of the roles yet.
func (o *Observer) enter(id string, want []identity.RoleARN, now time.Time, g *gaps) *visit {
	v := &visit{o: o, id: id, a: o.account(id), gaps: g, now: now, roles: make(map[identity.RoleARN]live.Role, len(want))}
	for _, arn := range want {
		v.roles[arn] = live.Role{ARN: arn}
	}
	var err error
	if v.iam, err = o.opts.IAM(id); err != nil {
		v.refuse(live.SourceAssumeRole, err)
	}
	return v
}

// visit looks at the roles and the cluster's provider in an account.
func (o *Observer) visit(ctx context.Context, id string, want []identity.RoleARN, provider string, audit bool, now time.Time, g *gaps) *visit {
	v := o.enter(id, want, now, g)
	if v.shut == nil {
		v.summary(ctx)
	}
	if v.shut == nil && provider != "" {
		v.provider(ctx, provider)
	}
	if v.shut == nil && audit {
		v.letIn = []string{podIdentityService}
		if _, host, found := strings.Cut(provider, ":oidc-provider/"); found {
			v.letIn = append(v.letIn, host)
		}
		v.listProviders(ctx)
	}
	if v.shut == nil {
		v.readRoles(ctx)
	}
	return v
}

// podIdentityService is the principal as which EKS Pod Identity assumes roles.
// Source: https://docs.aws.amazon.com/eks/latest/userguide/pod-id-role.html
const podIdentityService = "pods.eks.amazonaws.com"

// refuse records a gap over the account. Where it is the way in that failed, nothing
// else is asked.
func (v *visit) refuse(source live.Source, err error) {
	if source == live.SourceAssumeRole || unassumable(err) {
		source, v.shut = live.SourceAssumeRole, err
	}
	v.gaps.add(source, v.id, err)
}

// summary asks for the quota of trust policies and the number of roles.
func (v *visit) summary(ctx context.Context) {
	v.facts.account = &live.Account{ID: v.id}
	out, err := ask(ctx, v.a.line, v.iam.GetAccountSummary, &iam.GetAccountSummaryInput{})
	if err != nil {
		v.refuse(live.SourceAccountSummary, err)
		return
	}
	v.facts.account.TrustSizeQuota = int(out.SummaryMap["AssumeRolePolicySizeQuota"])
	v.facts.account.Roles = int(out.SummaryMap["Roles"])
	v.facts.account.IdentityProviders = int(out.SummaryMap["Providers"])
	v.o.mu.Lock()
	defer v.o.mu.Unlock()
	v.a.seen = *v.facts.account
}

// readRoles reads the roles asked for, and those that bear our mark.
func (v *visit) readRoles(ctx context.Context) {
	v.o.mu.Lock()
	for arn := range v.a.ourMarksOn {
		if _, asked := v.roles[arn]; !asked {
			v.roles[arn] = live.Role{ARN: arn}
		}
	}
	for arn := range v.a.chained {
		if _, asked := v.roles[arn]; !asked {
			v.roles[arn] = live.Role{ARN: arn}
		}
	}
	expected, noDetails := v.a.pages, v.now.Before(v.a.noDetails)
	sweep := len(v.letIn) > 0 || !v.now.Before(v.a.sweepAt) || !noDetails && v.newcomers()
	v.o.mu.Unlock()
	if n := v.facts.account.Roles; n > 0 {
		expected = max(expected, (n+iamPage-1)/iamPage)
	}
	few := len(v.roles) <= max(expected, 1) || expected == 0 && len(v.roles) <= blindly
	v.o.progress("reading %d roles of account %s", len(v.roles), v.id)
	named := slices.Collect(maps.Keys(v.roles))
	if few && !sweep {
		v.singly(ctx, named)
		return
	}
	read := refusedBulk
	if !noDetails {
		if read = v.bulk(live.SourceAuthorizationDetails, v.details(ctx)); read != wholeBulk {
			v.keepPolicies(nil) // what the sweep before told is not what is there now
		}
	}
	if read == refusedBulk {
		read = v.bulk(live.SourceRoles, v.list(ctx))
	}
	v.swept(read)
	v.facts.account.RolesListed = len(v.letIn) > 0 && read == wholeBulk
	switch {
	case v.shut != nil:
	case few: // GetRole tells more, and a bulk read that failed does no harm
		v.singly(ctx, named)
	case read == refusedBulk && len(named) <= maxSingly:
		v.singly(ctx, named)
	case read == refusedBulk:
		v.gaps.put(live.Gap{Source: live.SourceRoles, Scope: v.id, Reason: live.GapRefused,
			Message: fmt.Sprintf("neither iam:GetAccountAuthorizationDetails nor iam:ListRoles is granted, and %d roles are too many to read one by one", len(named))})
	}
}

// swept says when to read the whole account again. A bulk read that ended early is
// tried again in the next look.
func (v *visit) swept(read outcome) {
	v.o.mu.Lock()
	defer v.o.mu.Unlock()
	switch read {
	case wholeBulk:
		v.a.sweepAt = v.now.Add(v.o.opts.DescribeInterval)
	case refusedBulk:
		v.a.sweepAt = v.now.Add(detailsRest)
	}
}

// outcome is how a bulk read ended.
type outcome uint8

const (
	refusedBulk outcome = iota // from the start: try another way
	partBulk                   // early, and the gap is told
	wholeBulk
)

// listing is a way to read all roles of an account, page by page.
type listing func(token *string) (page []answer, more *string, err error)

// answer is one role in a list; err says what cannot be read of it.
type answer struct {
	role live.Role
	err  error
}

// bulk reads all roles of the account.
func (v *visit) bulk(source live.Source, next listing) outcome {
	all, came, err := pages(next)
	if came == 0 && err != nil {
		if reason, _ := classify(err); reason == live.GapRefused && !unassumable(err) {
			if source == live.SourceAuthorizationDetails {
				v.o.mu.Lock()
				v.a.noDetails = v.now.Add(detailsRest)
				v.o.mu.Unlock()
			}
			return refusedBulk
		}
	}
	if i := slices.IndexFunc(all, func(a answer) bool { return a.role.ARN.Account != v.id }); i >= 0 {
		v.gaps.add(source, v.id, fmt.Errorf("the answer names %s: the way into account %s leads elsewhere", all[i].role.ARN, v.id))
		return partBulk
	}
	listed := make(map[identity.RoleARN]bool, len(all))
	for _, a := range all {
		listed[a.role.ARN] = true
		switch _, asked := v.roles[a.role.ARN]; {
		case a.err != nil && asked:
			v.gaps.add(source, a.role.ARN.String(), a.err)
		case a.err == nil && (asked || strings.Contains(a.role.TrustPolicy, ourSid) || v.letsIn(a.role.TrustPolicy)):
			v.found(a.role)
		}
	}
	if unassumable(err) {
		v.refuse(live.SourceAssumeRole, err)
		return partBulk
	}
	if err != nil {
		v.gaps.addPages(source, v.id, came, err)
		return partBulk
	}
	for arn := range v.roles {
		if !listed[arn] {
			v.absent(arn)
		}
	}
	v.o.mu.Lock()
	defer v.o.mu.Unlock()
	v.a.pages = came
	return wholeBulk
}

// letsIn reports whether a role is told though nobody named it.
func (v *visit) letsIn(trustPolicy string) bool {
	return slices.ContainsFunc(v.letIn, func(text string) bool { return strings.Contains(trustPolicy, text) })
}

func (v *visit) details(ctx context.Context) listing {
	in := &iam.GetAccountAuthorizationDetailsInput{Filter: []types.EntityType{types.EntityTypeRole, types.EntityTypeLocalManagedPolicy}, MaxItems: aws.Int32(iamPage)}
	p := newPolicies()
	return func(token *string) ([]answer, *string, error) {
		in.Marker = token
		out, err := ask(ctx, v.a.line, v.iam.GetAccountAuthorizationDetails, in)
		if err != nil {
			return nil, nil, err
		}
		p.add(out)
		if !out.IsTruncated {
			v.keepPolicies(p.byRole())
		}
		page := make([]answer, 0, len(out.RoleDetailList))
		for _, d := range out.RoleDetailList {
			if r, err := roleFacts(d.Arn, d.AssumeRolePolicyDocument, nil, d.CreateDate); !r.ARN.IsZero() {
				addDetails(&r, d.Tags, d.PermissionsBoundary, d.RoleLastUsed)
				page = append(page, answer{r, err})
			}
		}
		more, err := marker(out.IsTruncated, out.Marker)
		return page, more, err
	}
}

func (v *visit) list(ctx context.Context) listing {
	in := &iam.ListRolesInput{MaxItems: aws.Int32(iamPage)}
	return func(token *string) ([]answer, *string, error) {
		in.Marker = token
		out, err := ask(ctx, v.a.line, v.iam.ListRoles, in)
		if err != nil {
			return nil, nil, err
		}
		page := make([]answer, 0, len(out.Roles))
		for _, d := range out.Roles {
			if r, err := roleFacts(d.Arn, d.AssumeRolePolicyDocument, d.MaxSessionDuration, d.CreateDate); !r.ARN.IsZero() {
				page = append(page, answer{r, err})
			}
		}
		more, err := marker(out.IsTruncated, out.Marker)
		return page, more, err
	}
}

// marker returns IAM's token for the next page.
func marker(truncated bool, token *string) (*string, error) {
	if !truncated {
		return nil, nil
	}
	if aws.ToString(token) == "" {
		return nil, errors.New("IAM says that more follows, but not where")
	}
	return token, nil
}

// singly reads roles one by one.
func (v *visit) singly(ctx context.Context, want []identity.RoleARN) {
	slices.SortFunc(want, identity.RoleARN.Compare)
	scopes := make([]string, len(want))
	for i, arn := range want {
		scopes[i] = arn.String()
	}
	errs := each(v.o.limits.Concurrency, want, func(arn identity.RoleARN) error { return v.role(ctx, arn) })
	if i := slices.IndexFunc(errs, unassumable); i >= 0 {
		v.refuse(live.SourceAssumeRole, errs[i])
		return
	}
	v.gaps.addEach(live.SourceRole, scopes, errs)
}

// role reads one role. IAM asks for a name and knows neither account nor path, so the
// answer is held against the whole ARN: another path means that this role is not there.
func (v *visit) role(ctx context.Context, arn identity.RoleARN) error {
	out, err := ask(ctx, v.a.line, v.iam.GetRole, &iam.GetRoleInput{RoleName: &arn.Name})
	if missing(err) {
		v.absent(arn)
		return nil
	}
	if err != nil {
		return err
	}
	if out.Role == nil {
		return errors.New("IAM answered without a role")
	}
	r, err := roleFacts(out.Role.Arn, out.Role.AssumeRolePolicyDocument, out.Role.MaxSessionDuration, out.Role.CreateDate)
	addDetails(&r, out.Role.Tags, out.Role.PermissionsBoundary, out.Role.RoleLastUsed)
	switch {
	case err != nil:
		return err
	case r.ARN.Account != arn.Account:
		return fmt.Errorf("the answer names %s: the way into account %s leads elsewhere", r.ARN, v.id)
	case r.ARN != arn:
		v.absent(arn)
	default:
		v.found(r)
	}
	return nil
}

func (v *visit) found(r live.Role) {
	v.o.mu.Lock()
	defer v.o.mu.Unlock()
	v.roles[r.ARN] = r
	if strings.Contains(r.TrustPolicy, ourSid) {
		v.a.ourMarksOn[r.ARN] = true
	} else {
		delete(v.a.ourMarksOn, r.ARN)
	}
}

func (v *visit) absent(arn identity.RoleARN) {
	v.o.mu.Lock()
	defer v.o.mu.Unlock()
	v.roles[arn] = live.Role{ARN: arn, Presence: live.Absent}
	delete(v.a.ourMarksOn, arn)
}

// roleFacts reads a role. Documents are URL-encoded (RFC 3986), a plus sign is a plus
// sign. A role without an ARN that parses comes back zero: nobody can ask for it.
func roleFacts(arn, document *string, seconds *int32, created *time.Time) (live.Role, error) {
	parsed, err := identity.ParseRoleARN(aws.ToString(arn))
	if err != nil {
		return live.Role{}, fmt.Errorf("the role in IAM's answer: %w", err)
	}
	text, err := url.PathUnescape(aws.ToString(document))
	if err != nil {
		return live.Role{ARN: parsed}, fmt.Errorf("the trust policy of %s: %w", parsed, err)
	}
	r := live.Role{ARN: parsed, Presence: live.Present, TrustPolicy: text, MaxSessionSeconds: int(aws.ToInt32(seconds)), CreatedAt: aws.ToTime(created).UTC()}
	return r, nil
}

// addDetails adds what ListRoles leaves out.
// Source: https://docs.aws.amazon.com/IAM/latest/APIReference/API_ListRoles.html
func addDetails(r *live.Role, tags []types.Tag, boundary *types.AttachedPermissionsBoundary, used *types.RoleLastUsed) {
	r.DetailsRead = true
	if boundary != nil {
		r.Boundary = aws.ToString(boundary.PermissionsBoundaryArn)
	}
	if used != nil {
		r.LastUsedAt, r.LastUsedRegion = aws.ToTime(used.LastUsedDate).UTC(), aws.ToString(used.Region)
	}
	for _, t := range tags {
		if r.Tags == nil {
			r.Tags = make(map[string]string, len(tags))
		}
		r.Tags[aws.ToString(t.Key)] = aws.ToString(t.Value)
	}
}

// provider reads the IAM OIDC provider of the cluster's issuer. Its ARN is known, so
// no list is needed; only where IAM says that there is none is the list asked too, so
// that absence rests on two answers, and shows what the account has instead.
func (v *visit) provider(ctx context.Context, arn string) {
	out, err := ask(ctx, v.a.line, v.iam.GetOpenIDConnectProvider, &iam.GetOpenIDConnectProviderInput{OpenIDConnectProviderArn: &arn})
	if err == nil {
		v.facts.providers = []live.OIDCProvider{{ARN: arn, Account: v.id, URL: aws.ToString(out.Url), ClientIDs: out.ClientIDList, Described: true}}
		return
	}
	if !missing(err) {
		if unassumable(err) {
			v.refuse(live.SourceAssumeRole, err)
			return
		}
		v.gaps.add(live.SourceProvider, arn, err)
		return
	}
	v.listProviders(ctx)
	if slices.ContainsFunc(v.facts.providers, func(p live.OIDCProvider) bool { return p.ARN == arn }) {
		v.gaps.add(live.SourceProvider, arn, errors.New("IAM lists it, but does not find it: it was made or deleted a moment ago"))
	}
}

// listProviders adds the account's other OIDC providers, by their ARNs, unless that was
// done before.
func (v *visit) listProviders(ctx context.Context) {
	if v.facts.account.ProvidersListed || v.listTried {
		return
	}
	v.listTried = true
	list, err := ask(ctx, v.a.line, v.iam.ListOpenIDConnectProviders, &iam.ListOpenIDConnectProvidersInput{})
	if err != nil {
		v.refuse(live.SourceListProviders, err)
		return
	}
	var all []live.OIDCProvider
	for _, p := range list.OpenIDConnectProviderList {
		listed := aws.ToString(p.Arn)
		before, host, _ := strings.Cut(listed, ":oidc-provider/")
		if !strings.HasSuffix(before, ":"+v.id) {
			v.gaps.add(live.SourceListProviders, v.id, fmt.Errorf("the answer names %s: the way into account %s leads elsewhere", listed, v.id))
			return
		}
		if !slices.ContainsFunc(v.facts.providers, func(known live.OIDCProvider) bool { return known.ARN == listed }) {
			all = append(all, live.OIDCProvider{ARN: listed, Account: v.id, URL: host})
		}
	}
	v.facts.providers = append(v.facts.providers, all...)
	v.facts.account.ProvidersListed = true
}
