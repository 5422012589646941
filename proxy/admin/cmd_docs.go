package admin

import (
	"context"
	"slices"
	"strings"

	"holdfast/proxy/resp"
)

// redis-cli asks COMMAND DOCS when it starts, and makes its hints, completion and built-in help
// from the reply. An assertion ends redis-cli when a value has another type than Redis's, so the
// shapes here are exactly Redis's: names and texts are bulk strings, flags are simple ones.

const docsGroup = "holdfast"

// container is a first word, with the commands whose names begin with it.
type container struct {
	name string
	self *command // nil: the first word alone is no command
	subs []*command
}

func containers() []*container {
	var list []*container
	for _, c := range commands {
		first, _, two := strings.Cut(c.name, " ")
		i := slices.IndexFunc(list, func(k *container) bool { return k.name == first })
		if i < 0 {
			i = len(list)
			list = append(list, &container{name: first})
		}
		if two {
			list[i].subs = append(list[i].subs, c)
		} else {
			list[i].self = c
		}
	}
	return list
}

func commandCount(context.Context, *client, []string) (reply, error) {
	return integer(int64(len(containers()))), nil
}

// commandTable answers clients older than COMMAND DOCS: name, arity, flags, and no keys.
func commandTable(_ context.Context, _ *client, args []string) (reply, error) {
	if len(args) > 0 {
		return nil, errUnknown(append([]string{"COMMAND"}, args[0]))
	}
	return func(dst []byte, proto int) []byte {
		list := containers()
		dst = resp.AppendArray(dst, len(list))
		for _, k := range list {
			dst = resp.AppendArray(dst, 6)
			dst = resp.AppendBulkString(dst, strings.ToLower(k.name))
			dst = resp.AppendInt(dst, -1)
			dst = resp.AppendSimple(resp.AppendSet(dst, 1, proto), "admin")
			for range 3 {
				dst = resp.AppendInt(dst, 0)
			}
		}
		return dst
	}, nil
}

func commandDocs(_ context.Context, _ *client, args []string) (reply, error) {
	list := containers()
	if len(args) > 0 {
		list = slices.DeleteFunc(list, func(k *container) bool {
			return !slices.ContainsFunc(args, func(a string) bool {
				return strings.EqualFold(a, k.name)
			})
		})
	}
	return func(dst []byte, proto int) []byte {
		dst = resp.AppendMap(dst, len(list), proto)
		for _, k := range list {
			dst = resp.AppendBulkString(dst, strings.ToLower(k.name))
			dst = k.appendDocs(dst, proto)
		}
		return dst
	}, nil
}

func (k *container) appendDocs(dst []byte, proto int) []byte {
	about := command{help: k.name + " commands"}
	if k.self != nil {
		about = *k.self
	}
	if len(k.subs) == 0 {
		return about.appendDocs(dst, proto, 0)
	}
	dst = about.appendDocs(dst, proto, 1)
	dst = resp.AppendBulkString(dst, "subcommands")
	dst = resp.AppendMap(dst, len(k.subs), proto)
	for _, c := range k.subs {
		name := strings.ToLower(strings.ReplaceAll(c.name, " ", "|"))
		dst = resp.AppendBulkString(dst, name)
		dst = c.appendDocs(dst, proto, 0)
	}
	return dst
}

// appendDocs leaves room for further pairs that the caller appends.
func (c *command) appendDocs(dst []byte, proto, further int) []byte {
	pairs := 3 + further
	if c.args != "" {
		pairs++
	}
	dst = resp.AppendMap(dst, pairs, proto)
	for _, kv := range [...][2]string{
		{"summary", c.help}, {"since", "1.0.0"}, {"group", docsGroup},
	} {
		dst = resp.AppendBulkString(dst, kv[0])
		dst = resp.AppendBulkString(dst, kv[1])
	}
	if c.args == "" {
		return dst
	}
	// One argument whose name is the whole syntax: redis-cli shows it unchanged.
	dst = resp.AppendArray(resp.AppendBulkString(dst, "arguments"), 1)
	dst = resp.AppendMap(dst, 3, proto)
	for _, kv := range [...][2]string{
		{"name", c.args}, {"type", "string"}, {"display_text", c.args},
	} {
		dst = resp.AppendBulkString(dst, kv[0])
		dst = resp.AppendBulkString(dst, kv[1])
	}
	return dst
}
