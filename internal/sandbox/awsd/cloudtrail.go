package awsd

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
)

// trailTarget and trailTargetLong begin the X-Amz-Target of CloudTrail's operations: the
// name of the service's shape, as newer SDKs send it, and with its namespace, as
// botocore's model has it. The service takes both.
// Source: https://smithy.io/2.0/aws/protocols/aws-json-1_1-protocol.html
const (
	trailTarget     = "CloudTrail_20131101."
	trailTargetLong = "com.amazonaws.cloudtrail.v20131101." + trailTarget
)

// mostEvents bounds the event history, and trailDays is how far back it goes.
const (
	mostEvents = 20_000
	trailDays  = 90
)

// trailEvent is one management event of the event history.
type trailEvent struct {
	id, name, source, user  string
	account, region, record string
	at                      time.Time
	resources               []map[string]string
}

// key sorts events, the newest first.
func (e trailEvent) key() string { return fmt.Sprintf("%012d %s", 1<<38-e.at.Unix(), e.id) }

// visible says when LookupEvents shows the event: after half of the delay at the
// soonest, and each event after a time of its own, so that they come out of order.
func (e trailEvent) visible(delay time.Duration) time.Time {
	own := time.Duration(0)
	for _, b := range []byte(e.id) {
		own = (own*31 + time.Duration(b)) % 1000
	}
	return e.at.Add(delay/2 + delay/2*own/1000)
}

// routeTarget matches the target of an AWS JSON 1.1 request.
func (s *Server) routeTarget(c *call, r *http.Request) (operation, *apiError) {
	name, ours := strings.CutPrefix(r.Header.Get("X-Amz-Target"), trailTargetLong)
	if !ours {
		name, ours = strings.CutPrefix(name, trailTarget)
	}
	c.Operation = name
	if !ours || name != "LookupEvents" || r.Method != http.MethodPost || r.URL.Path != "/" || r.Header.Get("Content-Type") != "application/x-amz-json-1.1" {
		return nil, fail(400, "UnknownOperationException", "No operation answers the target %q.", r.Header.Get("X-Amz-Target"))
	}
	return s.lookupEvents, nil
}

// lookup is what LookupEvents takes. Times are seconds since 1970.
type lookup struct {
	LookupAttributes   []struct{ AttributeKey, AttributeValue string }
	StartTime, EndTime *float64
	MaxResults         *int
	NextToken          string
	EventCategory      string
}

// lookupEvents shows the newest events first, of the caller's account and the Region of
// the request.
// Source: https://docs.aws.amazon.com/awscloudtrail/latest/APIReference/API_LookupEvents.html
func (s *Server) lookupEvents(c *call) (any, *apiError) {
	in := lookup{}
	if err := json.Unmarshal(c.body, &in); err != nil {
		return nil, fail(400, "SerializationException", "The request is not a document of LookupEvents.")
	}
	from, to := c.now.AddDate(0, 0, -trailDays), c.now
	if in.StartTime != nil {
		from = later(from, instant(*in.StartTime))
	}
	if in.EndTime != nil {
		to = instant(*in.EndTime)
	}
	size := 50
	if in.MaxResults != nil {
		size = *in.MaxResults
	}
	switch {
	case size < 1 || size > 50:
		return nil, fail(400, "InvalidMaxResultsException", "A value for MaxResults must be between 1 and 50.")
	case in.StartTime != nil && in.EndTime != nil && *in.StartTime > *in.EndTime:
		return nil, fail(400, "InvalidTimeRangeException", "Start time must be before end time.")
	case in.EventCategory != "" && in.EventCategory != "insight":
		return nil, fail(400, "InvalidEventCategoryException", "EventCategory %s is invalid.", in.EventCategory)
	case len(in.LookupAttributes) > 1:
		return nil, fail(400, "InvalidLookupAttributesException", "The number of attributes in the request exceeds 1.")
	}
	wanted := func(trailEvent) bool { return in.EventCategory == "" }
	filter := []string{in.EventCategory, fmt.Sprint(size)}
	for _, at := range []*float64{in.StartTime, in.EndTime} {
		if at != nil {
			filter = append(filter, instant(*at).String())
		}
	}
	if len(in.LookupAttributes) == 1 {
		key, value := in.LookupAttributes[0].AttributeKey, in.LookupAttributes[0].AttributeValue
		has, known := trailAttributes[key]
		if !known || value == "" {
			return nil, fail(400, "InvalidLookupAttributesException", "Lookup attribute %s is invalid.", key)
		}
		wanted = func(e trailEvent) bool { return in.EventCategory == "" && has(e, value) }
		filter = append(filter, key, value)
	}
	var found []trailEvent
	for _, e := range s.events {
		if e.account == c.Account && e.region == c.Region && !e.at.Before(from) && !e.at.After(to) && !e.visible(s.consistency.Events).After(c.now) && wanted(e) {
			found = append(found, e)
		}
	}
	slices.SortFunc(found, func(a, b trailEvent) int { return cmp.Compare(a.key(), b.key()) })
	page, next, ok := paginate(c, found, trailEvent.key, size, in.NextToken, strings.Join(filter, " "))
	if !ok {
		return nil, fail(400, "InvalidNextTokenException", "The token that was specified is not valid, or was used with other parameters.")
	}
	out := struct {
		Events    []map[string]any
		NextToken string `json:",omitempty"`
	}{Events: []map[string]any{}, NextToken: next}
	for _, e := range page {
		out.Events = append(out.Events, map[string]any{
			"EventId": e.id, "EventName": e.name, "EventSource": e.source, "EventTime": epoch(e.at), "ReadOnly": "true",
			"Username": e.user, "Resources": e.resources, "CloudTrailEvent": e.record,
		})
	}
	return out, nil
}

// trailAttributes are the attributes that events are looked up by.
var trailAttributes = map[string]func(e trailEvent, value string) bool{
	"EventId":     func(e trailEvent, v string) bool { return e.id == v },
	"EventName":   func(e trailEvent, v string) bool { return e.name == v },
	"EventSource": func(e trailEvent, v string) bool { return e.source == v },
	"Username":    func(e trailEvent, v string) bool { return e.user == v },
	"ReadOnly":    func(_ trailEvent, v string) bool { return v == "true" },
	"AccessKeyId": func(trailEvent, string) bool { return false },
	"ResourceName": func(e trailEvent, v string) bool {
		return slices.ContainsFunc(e.resources, func(r map[string]string) bool { return r["ResourceName"] == v })
	},
	"ResourceType": func(e trailEvent, v string) bool {
		return slices.ContainsFunc(e.resources, func(r map[string]string) bool { return r["ResourceType"] == v })
	},
}

func instant(seconds float64) time.Time { return time.UnixMilli(int64(seconds * 1000)).UTC() }

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// GlobalEndpoint tells which ServiceAccounts' SDKs ask the global endpoint of STS in
// place of their Region's, as with the annotation sts-regional-endpoints: "false": the
// events of those are in us-east-1. A double has one address, so it must be told.
// Source: https://aws.amazon.com/blogs/security/announcing-upcoming-changes-to-the-aws-security-token-service-global-endpoint/
func (s *Server) GlobalEndpoint(uses func(namespace, serviceAccount string) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.global = uses
}

// Forge puts an event into the history that no call left: of others, or one that nobody
// could mean. The record is shown as it is.
func (s *Server) Forge(account, region, name, record string, at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keep(trailEvent{name: name, source: "sts.amazonaws.com", account: account, region: region, at: at.Truncate(time.Second), record: record})
}

func (s *Server) keep(e trailEvent) {
	s.made++
	e.id = uuidOf(fmt.Sprintf("event %d", s.made))
	e.record = strings.ReplaceAll(e.record, eventIDMark, e.id)
	if len(s.events) == mostEvents {
		s.events = s.events[1:]
	}
	s.events = append(s.events, e)
}

// eventIDMark stands in a record for the event's own ID.
const eventIDMark = "{event-id}"

// trail records an assumption of a role, as STS leaves it in the event history. A
// refused one bears the code and no answer.
//
// Sources: events of both kinds that AWS shows, in
// https://docs.aws.amazon.com/IAM/latest/UserGuide/cloudtrail-integration.html and in
// github.com/aws-samples/amazon-eks-security-immersion-day; domain.md section 9.
func (s *Server) trail(c *call, name, region, roleARN string, identity, parameters map[string]any, err *apiError) {
	account, _, _, ok := roleName(roleARN)
	if !ok {
		return
	}
	session, _ := parameters["roleSessionName"].(string)
	at := c.now.UTC().Truncate(time.Second)
	record := map[string]any{
		"eventVersion": "1.08", "userIdentity": identity, "eventTime": at.Format(time.RFC3339), "eventSource": "sts.amazonaws.com",
		"eventName": name, "awsRegion": region, "sourceIPAddress": "127.0.0.1", "userAgent": c.agent,
		"requestParameters": parameters, "responseElements": nil, "requestID": uuidOf(fmt.Sprintf("event of %d %s", s.forgotten+len(s.calls)+1, c.now)),
		"eventID": eventIDMark, "readOnly": true, "eventType": "AwsApiCall", "managementEvent": true, "recipientAccountId": account,
		"eventCategory": "Management", "resources": []map[string]string{{"accountId": account, "type": "AWS::IAM::Role", "ARN": roleARN}},
	}
	if by, service := identity["invokedBy"].(string); service {
		record["sourceIPAddress"], record["userAgent"] = by, by
	}
	if err != nil {
		record["errorCode"], record["errorMessage"] = err.code, err.message
	} else { // What was handed out is no part of it here.
		record["responseElements"] = map[string]any{"assumedRoleUser": map[string]any{"arn": sessionARN(roleARN, session)}}
	}
	text, _ := json.Marshal(record) // Maps and strings: it does not fail.
	user, _ := identity["userName"].(string)
	s.keep(trailEvent{name: name, source: "sts.amazonaws.com", user: user, account: account, region: region, at: at, record: string(text),
		resources: []map[string]string{{"ResourceType": "AWS::IAM::Role", "ResourceName": roleARN}}})
}

// trailAssumeRole records an assumption by a user or a role session.
func (s *Server) trailAssumeRole(c *call, a assumption, err *apiError) {
	identity := map[string]any{"type": "IAMUser", "arn": c.who.arn, "accountId": c.who.account, "userName": "sandbox"}
	if c.who.session != nil {
		identity = map[string]any{"type": "AssumedRole", "arn": c.who.arn, "accountId": c.who.account, "principalId": c.who.userID}
	}
	s.trail(c, "AssumeRole", c.Region, a.roleARN, identity, assumptionOf(a.roleARN, a.sessionName, a.tags, a.transitive), err)
}

// assumptionOf returns the parameters of an assumption as events show them.
func assumptionOf(roleARN, sessionName string, tags map[string]string, transitive []string) map[string]any {
	out := map[string]any{"roleArn": roleARN, "roleSessionName": sessionName}
	if len(tags) > 0 {
		list := []map[string]string{}
		for _, k := range slices.Sorted(maps.Keys(tags)) {
			list = append(list, map[string]string{"key": k, "value": tags[k]})
		}
		out["tags"], out["transitiveTagKeys"] = list, transitive
	}
	return out
}

// trailWebIdentity records what a token was exchanged for, or that it was not.
func (s *Server) trailWebIdentity(c *call, claims Claims, err *apiError) {
	roleARN := c.form.Get("RoleArn")
	provider, unknown := s.providerFor(roleARN, claims)
	if unknown != nil {
		return // A caller whom nobody vouches for is not logged as anybody.
	}
	region := "us-east-1"
	for _, st := range s.clusters {
		if st.Issuer == claims.Issuer {
			a, _ := parseARN(st.ARN)
			region = a.region
		}
	}
	if of, ok := claims.serviceAccount(); ok && s.global != nil && s.global(of.namespace, of.serviceAccount) {
		region = "us-east-1"
	}
	identity := map[string]any{
		"type": "WebIdentityUser", "principalId": provider.ARN + ":" + strings.Join(claims.Audience, ",") + ":" + claims.Subject,
		"userName": claims.Subject, "identityProvider": provider.ARN,
	}
	s.trail(c, "AssumeRoleWithWebIdentity", region, roleARN, identity, assumptionOf(roleARN, c.form.Get("RoleSessionName"), nil, nil), err)
}

// trailPodIdentity records the assumption that EKS makes for a pod. Without session tags
// it names the role and nobody else. What EKS assumes in turn, an association's target,
// is not recorded: no event of that kind was seen.
func (s *Server) trailPodIdentity(c *call, a Association, ps podSession, err *apiError) {
	parameters := assumptionOf(a.RoleARN, ps.name, ps.tags, ps.transitive)
	parameters["durationSeconds"] = 21600
	if ps.assumed {
		err = nil
	} else { // What STS says to EKS, which words it anew for the pod.
		err = fail(403, "AccessDenied", "%s", err.message)
	}
	of, _ := parseARN(a.Cluster)
	s.trail(c, "AssumeRole", of.region, a.RoleARN, map[string]any{"type": "AWSService", "invokedBy": podIdentityService}, parameters, err)
}
