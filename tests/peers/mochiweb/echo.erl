%% The loop of its WebSocket example, as an echo.
-module(echo).
-export([start/0]).

start() ->
    {ok, Server} = mochiweb_http:start([{ip, "127.0.0.1"}, {port, 0}, {backlog, 1024}, {loop, fun serve/1}]),
    io:format("listening on ws://127.0.0.1:~b/echo~n", [mochiweb_socket_server:get(Server, port)]),
    end_with_stdin().

serve(Request) ->
    {Reenter, _Reply} = mochiweb_websocket:upgrade_connection(Request, fun handle/3),
    Reenter([]).

%% All messages of one read.
handle(Payload, State, Reply) ->
    lists:foreach(Reply, Payload),
    State.

end_with_stdin() ->
    case io:get_line("") of
        eof -> halt();
        _ -> end_with_stdin()
    end.
