//! What an exchange answers, what quotes agree on, whom to ask when. Pure: no clock, no socket.
