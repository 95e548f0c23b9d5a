package wire

// SQLSTATEs that a node sends on its own (PostgreSQL 18, appendix A).
const (
	CodeConnectionFailure  = "08006"
	CodeProtocolViolation  = "08P01"
	CodeTooManyConnections = "53300"
	CodeAdminShutdown      = "57P01"
	CodeInternal           = "XX000"
)

// Error is an ErrorResponse that a node makes itself.
type Error struct {
	// Code is the SQLSTATE.
	Code string
	// Message says what happened, Detail more of it, and Hint what to do; the last two may be empty.
	Message, Detail, Hint string
}

func (e *Error) Error() string { return e.Message + " (SQLSTATE " + e.Code + ")" }

// AppendFatal appends the error as an ErrorResponse of severity FATAL: the connection is closed behind it.
func (e *Error) AppendFatal(dst []byte) []byte {
	var body []byte
	for _, field := range []struct {
		kind  byte
		value string
	}{{'S', "FATAL"}, {'V', "FATAL"}, {'C', e.Code}, {'M', e.Message}, {'D', e.Detail}, {'H', e.Hint}} {
		if field.value == "" {
			continue
		}
		body = append(body, field.kind)
		for _, c := range []byte(field.value) {
			if c != 0 {
				body = append(body, c)
			}
		}
		body = append(body, 0)
	}
	return AppendMessage(dst, ErrorResponse, append(body, 0))
}
