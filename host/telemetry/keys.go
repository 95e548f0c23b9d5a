package telemetry

// Keys of log attributes. One concept has one key, in the logs of every package.
const (
	// KeyError holds an error.
	KeyError = "error"
	// KeyReason holds why something was decided, in words.
	KeyReason = "reason"
	// KeyRepeats holds how often a message came again without being logged; see [Limit].
	KeyRepeats = "repeats"
	// KeyDuration holds how long something took.
	KeyDuration = "duration"
	// KeyComponent holds the package that speaks, on loggers that are passed down.
	KeyComponent = "component"

	// KeyBuild holds the build of the program, KeyVersion being a position in the log.
	KeyBuild = "build"
	// KeyRole holds home or edge.
	KeyRole = "role"
	// KeyRegion holds where a node stands.
	KeyRegion = "region"
	// KeyListener holds the name of a listener, such as postgres or http.
	KeyListener = "listener"
	// KeyAddress holds the address that a listener is bound to, or that is dialled.
	KeyAddress = "address"
	// KeyClient holds the address of a client.
	KeyClient = "client"
	// KeySignal holds a signal of the operating system.
	KeySignal = "signal"
	// KeyWarning holds what is allowed in the configuration but hardly meant.
	KeyWarning = "warning"
	// KeyTimeout holds a bound on time that is in force or has passed.
	KeyTimeout = "timeout"

	// KeySession holds the number of a session within its node.
	KeySession = "session"
	// KeySessions holds how many sessions there are.
	KeySessions = "sessions"
	// KeyDatabase holds the name of a database.
	KeyDatabase = "database"
	// KeyUser holds the name of a database user.
	KeyUser = "user"
	// KeyUpstream holds where a node forwards to, without its password.
	KeyUpstream = "upstream"
	// KeySQLState holds the five characters of an SQLSTATE.
	KeySQLState = "sqlstate"
	// KeyFingerprint holds the fingerprint of a statement, never its text.
	KeyFingerprint = "fingerprint"
	// KeyVerdict holds the verdict on a statement.
	KeyVerdict = "verdict"
	// KeyRelations holds names of relations.
	KeyRelations = "relations"

	// KeyEpoch holds the identity of a log.
	KeyEpoch = "epoch"
	// KeyVersion holds a position in the log.
	KeyVersion = "version"
	// KeyHome holds the URL of a home.
	KeyHome = "home"
	// KeyEdge holds the name of an edge.
	KeyEdge = "edge_id"
	// KeyEdges holds how many edges there are.
	KeyEdges = "edges"

	// KeyPolicy holds the name of a policy.
	KeyPolicy = "policy"
	// KeyGeneration holds the generation of a policy.
	KeyGeneration = "generation"
	// KeyName holds the name of a counter that a policy has made up.
	KeyName = "name"
	// KeyHook holds the hook of a policy that was called.
	KeyHook = "hook"
	// KeyFile holds a path.
	KeyFile = "file"
)
