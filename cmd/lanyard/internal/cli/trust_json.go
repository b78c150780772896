package cli

import (
	"bytes"
	"errors"
)

// item is an element of a JSON array, or a member of an object.
type item struct {
	name  []byte // of a member, with its quotes
	value []byte
}

var errNotJSON = errors.New("not well-formed JSON")

// splitJSON cuts an array ('[') or an object ('{') into its items and looks no
// deeper than it must: an item that is amiss or nested without end spoils itself
// and not its neighbours, which encoding/json cannot promise.
func splitJSON(data []byte, open byte) ([]item, error) {
	data = bytes.Trim(data, " \t\r\n")
	if len(data) < 2 || data[0] != open || data[len(data)-1] != open+2 { // ']' and '}' are two further on
		return nil, errNotJSON
	}
	var items []item
	for at := skipSpace(data, 1); ; at = skipSpace(data, at+1) {
		if data[at] == open+2 && len(items) == 0 && at == len(data)-1 {
			return nil, nil
		}
		var one item
		if open == '{' {
			end := skipString(data, at)
			if end < 0 {
				return nil, errNotJSON
			}
			one.name = data[at:end]
			if at = skipSpace(data, end); at >= len(data) || data[at] != ':' {
				return nil, errNotJSON
			}
			at = skipSpace(data, at+1)
		}
		end := skipValue(data, at)
		if end < 0 {
			return nil, errNotJSON
		}
		one.value = bytes.TrimRight(data[at:end], " \t\r\n")
		if items = append(items, one); len(one.value) == 0 {
			return nil, errNotJSON
		}
		switch at = end; {
		case data[at] == ',':
		case at == len(data)-1 && data[at] == open+2:
			return items, nil
		default:
			return nil, errNotJSON
		}
	}
}

// skipValue returns where the comma or the bracket stands that ends a value.
func skipValue(data []byte, at int) int {
	depth := 0
	for at < len(data) {
		switch data[at] {
		case '"':
			if at = skipString(data, at); at < 0 {
				return -1
			}
			continue
		case '[', '{':
			depth++
		case ']', '}':
			if depth == 0 {
				return at
			}
			depth--
		case ',':
			if depth == 0 {
				return at
			}
		}
		at++
	}
	return -1
}

// skipString returns where a string ends that begins here.
func skipString(data []byte, at int) int {
	if at >= len(data) || data[at] != '"' {
		return -1
	}
	for at++; at < len(data); at++ {
		switch data[at] {
		case '\\':
			at++
		case '"':
			return at + 1
		}
	}
	return -1
}

func skipSpace(data []byte, at int) int {
	for at < len(data) && (data[at] == ' ' || data[at] == '\t' || data[at] == '\r' || data[at] == '\n') {
		at++
	}
	return min(at, len(data)-1)
}
