package policy

// Command is one command or subcommand of a server.
type Command struct {
	ID         int    // dense index in its Table, 0..Table.Len()-1; 0 is Table.Unknown
	Name       string // lower case; subcommands as "config|set"; "" for the unknown command
	Arity      int    // arguments with the name(s); negative: at least that many
	Flags      Flags
	Categories Categories
	Effects    Effects // the ways it can destroy data
	KeySpecs   []KeySpec
	Group      string     // "string", "hash", "server", ...; "module" for those of modules
	Parent     *Command   // the container of a subcommand; nil otherwise
	Subs       []*Command // the subcommands of a container, by name; nil otherwise

	subs    *index  // finds Subs by the word after the container's name
	special keyFunc // finds the keys where the specifications do not suffice; usually nil

	runsCode bool // its code is analysed by Scan
	// past reports whether a request's deadline is in the past, which deletes the key; nil: it has
	// none.
	past    func(args [][]byte, now int64) truth
	unnamed bool // it reaches keys that are not among its arguments
}

// IsContainer reports whether the command has subcommands ("config"). A request that Lookup
// resolves to a container has no subcommand or an unknown one.
func (c *Command) IsContainer() bool { return len(c.Subs) > 0 }

// AcceptsArgs reports whether a request of n words (the name included) has the right number of
// them. The unknown command accepts any.
func (c *Command) AcceptsArgs(n int) bool {
	if c.Arity >= 0 {
		return c.Arity == 0 || n == c.Arity
	}
	return n >= -c.Arity
}

// Key is one argument that is a key.
type Key struct {
	Pos   int // index in args
	Flags KeyFlags
}

// KeySpec is one key specification: where the keys begin and how they go on. It follows the
// server's keySpec (server.h); https://valkey.io/topics/key-specs describes it.
type KeySpec struct {
	Flags KeyFlags
	Begin BeginSearch
	Find  FindKeys
}

// SearchKind selects how one half of a key specification is read.
type SearchKind uint8

// The kinds of both halves.
const (
	SearchUnknown SearchKind = iota // the server's own code knows; the specification does not
	BeginIndex                      // keys begin at BeginSearch.Index
	BeginKeyword                    // keys begin after the word BeginSearch.Keyword
	FindRange                       // keys are every Step-th argument up to LastKey
	FindKeyNum                      // an argument is the number of keys
)

// BeginSearch locates the first key of a specification.
type BeginSearch struct {
	Kind      SearchKind // BeginIndex, BeginKeyword or SearchUnknown
	Index     int        // BeginIndex: position in args
	Keyword   string     // BeginKeyword: in any case
	StartFrom int        // BeginKeyword: where to look from; negative: from the end, backwards
}

// FindKeys selects the arguments that are keys, from the first on.
type FindKeys struct {
	Kind SearchKind // FindRange, FindKeyNum or SearchUnknown

	LastKey int // FindRange: relative to the first; negative: relative to the end of args
	Limit   int // FindRange with LastKey -1: 2 means the first half of the rest, and so on

	KeyNumIdx int // FindKeyNum: where the number stands, relative to the begin
	FirstKey  int // FindKeyNum: where the first key stands, relative to the begin

	Step int // both: distance from one key to the next
}
