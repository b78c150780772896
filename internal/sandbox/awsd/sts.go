package awsd

import (
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

func (s *Server) getCallerIdentity(c *call) (any, *apiError) {
	return []elem{text("Arn", c.who.arn), text("UserId", c.who.userID), text("Account", c.who.account)}, nil
}

// assumeRole judges the role's trust policy and, where AWS asks for them, the caller's own
// policies. A role that does not exist is answered as one that does not trust.
// Source: https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html
func (s *Server) assumeRole(c *call) (any, *apiError) {
	a := assumption{
		roleARN: c.form.Get("RoleArn"), action: "sts:AssumeRole", sessionName: c.form.Get("RoleSessionName"),
		externalID: c.form.Get("ExternalId"), sourceIdentity: c.form.Get("SourceIdentity"),
		tags: map[string]string{}, context: map[string][]string{"aws:userid": {c.who.userID}},
	}
	limit := 12 * time.Hour
	if ses := c.who.session; ses != nil {
		a.caller, a.callerRole = sessionCaller(ses.role, ses.name), &ses.role
		addPrincipalTags(a.context, ses.role, ses.tags)
		for k := range ses.transitive {
			a.tags[k] = ses.tags[k]
			a.transitive = append(a.transitive, k)
		}
		limit = time.Hour // Role chaining.
	} else {
		a.caller, a.admin = caller{account: c.who.account, arn: c.who.arn}, true
	}
	if err := a.readTags(c); err != nil {
		return nil, err
	}
	life, err := c.sessionParameters()
	if err != nil {
		return nil, err
	}
	if n := len(a.externalID); a.externalID != "" && (n < 2 || n > 1224) {
		return nil, errValidation("1 validation error detected: Value at 'externalId' failed to satisfy constraint: Member must have length between 2 and 1224")
	}
	role, refused := s.judge(a, c.now)
	if refused != nil {
		err := &apiError{status: 403, code: "AccessDenied", why: refused.reason,
			message: "User: " + c.who.arn + " is not authorized to perform: " + refused.action + " on resource: " + a.roleARN}
		s.trailAssumeRole(c, a, err)
		return nil, err
	}
	if life > limit {
		return nil, errValidation("The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining")
	}
	if life > role.MaxSessionDuration {
		return nil, errValidation("The requested DurationSeconds exceeds the MaxSessionDuration set for this role.")
	}
	slices.Sort(a.transitive)
	ses := s.newSession(role, a.sessionName, a.tags, slices.Compact(a.transitive), life, c.now)
	s.trailAssumeRole(c, a, nil)
	return assumedElems(ses), nil
}

// readTags adds the request's session tags. A tag that was inherited cannot be given anew.
// Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/id_session-tags.html
func (a *assumption) readTags(c *call) *apiError {
	given := map[string]bool{}
	for i := 1; c.form.Has(list("Tags", i) + ".Key"); i++ {
		k, v := c.form.Get(list("Tags", i)+".Key"), c.form.Get(list("Tags", i)+".Value")
		switch {
		case i > 50:
			return errValidation("1 validation error detected: Value at 'tags' failed to satisfy constraint: Member must have length less than or equal to 50")
		case k == "" || len(k) > 128 || len(v) > 256 || strings.HasPrefix(strings.ToLower(k), "aws:"):
			return errValidation("1 validation error detected: Value '%s' at 'tags' failed to satisfy constraint", k)
		case given[strings.ToLower(k)]:
			return fail(400, "InvalidParameterValue", "Duplicate tag keys found. Please note that Tag keys are case insensitive.")
		}
		if _, inherited := a.tags[k]; inherited {
			return fail(400, "InvalidParameterValue", "One of the specified transitive tag keys can't be set because it conflicts with a transitive tag key from the calling session.")
		}
		given[strings.ToLower(k)] = true
		a.tags[k] = v
	}
	for i := 1; c.form.Has(list("TransitiveTagKeys", i)); i++ {
		k := c.form.Get(list("TransitiveTagKeys", i))
		if _, ok := a.tags[k]; !ok {
			return fail(400, "InvalidParameterValue", "The specified transitive tag key must be included in the requested tags.")
		}
		a.transitive = append(a.transitive, k)
	}
	return nil
}

// sessionParameters checks what both ways to assume a role have in common and returns the
// session's length, an hour if left out.
func (c *call) sessionParameters() (time.Duration, *apiError) {
	if _, _, _, ok := roleName(c.form.Get("RoleArn")); !ok {
		return 0, errValidation("%s is invalid", c.form.Get("RoleArn"))
	}
	name := c.form.Get("RoleSessionName")
	if len(name) < 2 || len(name) > 64 || !iamName.MatchString(name) {
		return 0, errValidation("1 validation error detected: Value '%s' at 'roleSessionName' failed to satisfy constraint: Member must satisfy regular expression pattern: [\\w+=,.@-]* with length between 2 and 64", name)
	}
	if doc := c.form.Get("Policy"); doc != "" {
		if len(doc) > 2048 {
			return 0, errValidation("1 validation error detected: Value at 'policy' failed to satisfy constraint: Member must have length less than or equal to 2048")
		}
		if _, err := parsePolicy(doc); err != nil {
			return 0, fail(400, "MalformedPolicyDocument", "%s", err)
		}
	}
	v := c.form.Get("DurationSeconds")
	if v == "" {
		return time.Hour, nil
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < 900 || n > 43200 {
		return 0, errValidation("1 validation error detected: Value '%s' at 'durationSeconds' failed to satisfy constraint: Member must be between 900 and 43200", v)
	}
	return time.Duration(n) * time.Second, nil
}

func (s *Server) assumeRoleWithWebIdentity(c *call) (any, *apiError) {
	life, err := c.sessionParameters()
	if err != nil {
		return nil, err
	}
	claims, err := s.checkWebIdentityToken(c)
	if err != nil {
		return nil, err
	}
	name := c.form.Get("RoleSessionName")
	role, err := s.webIdentity(c.form.Get("RoleArn"), claims, name, c.now)
	if err != nil {
		s.trailWebIdentity(c, claims, err)
		return nil, err
	}
	if life > role.MaxSessionDuration {
		return nil, errValidation("The requested DurationSeconds exceeds the MaxSessionDuration set for this role.")
	}
	c.Account, _, _, _ = roleName(role.ARN)
	ses := s.newSession(role, name, nil, nil, life, c.now)
	s.trailWebIdentity(c, claims, nil)
	return append(assumedElems(ses), text("SubjectFromWebIdentityToken", claims.Subject),
		text("Provider", claims.Issuer), text("Audience", claims.Audience[0])), nil
}

// checkWebIdentityToken checks what does not depend on a trust policy. The provider comes
// before the signature: without one there is nobody to ask for keys.
func (s *Server) checkWebIdentityToken(c *call) (Claims, *apiError) {
	token := c.form.Get("WebIdentityToken")
	claims, err := decodeToken(token)
	if err != nil {
		return claims, errIdentityToken("The token passed in the request is not valid: %s", err)
	}
	if _, err := s.providerFor(c.form.Get("RoleArn"), claims); err != nil {
		return claims, err
	}
	if c.keys.err != nil {
		return claims, &apiError{status: 400, code: "IDPCommunicationError", why: c.keys.err.Error(),
			message: "The identity provider that was asked to verify the incoming identity token could not be reached."}
	}
	if err := c.keys.verify(token); errors.Is(err, errNoSuchKey) { // The text is AWS's, to the two spaces.
		return claims, &apiError{status: 400, code: "InvalidIdentityToken", why: err.Error(),
			message: "Couldn't retrieve verification key from your identity provider,  please reference AssumeRoleWithWebIdentity documentation for requirements"}
	} else if err != nil {
		return claims, errIdentityToken("The token passed in the request is not valid: %s", err)
	}
	switch {
	case !c.now.Before(claims.Expires):
		return claims, errTokenExpired(claims, c.now)
	case c.now.Before(claims.NotBefore):
		return claims, errIdentityToken("The token passed in the request is not valid: it is good from %d on, and now is %d", claims.NotBefore.Unix(), c.now.Unix())
	}
	return claims, nil
}

func errIdentityToken(format string, args ...any) *apiError {
	return fail(400, "InvalidIdentityToken", format, args...)
}

func errTokenExpired(c Claims, now time.Time) *apiError {
	return fail(400, "ExpiredTokenException", "Token expired: current date/time %d must be before the expiration date/time %d", now.Unix(), c.Expires.Unix())
}

func assumedElems(ses session) []elem {
	return []elem{
		el("Credentials", text("AccessKeyId", ses.keyID), text("SecretAccessKey", ses.secret),
			text("SessionToken", ses.token), stamp("Expiration", ses.expires)),
		el("AssumedRoleUser", text("AssumedRoleId", ses.role.ID+":"+ses.name), text("Arn", ses.arn)),
		number("PackedPolicySize", packedSize(ses.tags)),
	}
}

// packedSize is a rough figure: AWS documents no formula.
func packedSize(tags map[string]string) int {
	n := 0
	for _, k := range slices.Collect(maps.Keys(tags)) {
		n += len(k) + len(tags[k])
	}
	return min(100, n*100/1024)
}
