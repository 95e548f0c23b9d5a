package wire

import (
	"strings"

	"github.com/jackc/pgproto3/v2"
)

// SQLSTATEs that a node sends on its own (PostgreSQL 18, appendix A).
const (
	CodeConnectionFailure    = "08006"
	CodeProtocolViolation    = "08P01"
	CodeInvalidAuthorization = "28000"
	CodeInvalidPassword      = "28P01"
	CodeTooManyConnections   = "53300"
	CodeInFailedTransaction  = "25P02"
	CodeAdminShutdown        = "57P01"
	CodeInternal             = "XX000"
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
	response := pgproto3.ErrorResponse{
		Severity: "FATAL", SeverityUnlocalized: "FATAL", Code: e.Code,
		Message: withoutNUL(e.Message), Detail: withoutNUL(e.Detail), Hint: withoutNUL(e.Hint),
	}
	message, err := response.Encode(dst)
	if err != nil {
		return dst // only a message of more than a gibibyte fails
	}
	return message
}

// withoutNUL drops what would end a string of the protocol early.
func withoutNUL(text string) string { return strings.ReplaceAll(text, "\x00", "") }
