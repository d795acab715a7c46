from adapters.spi import *
async def test_echo(box):
    await box.add(Upstream("u","fake","fake://smoke"))
    print([t.name for t in box.tools("u")])
    print([e async for e in box.invoke(Call("1","all__echo",{"text":"hi"},box.caller))])
    print([e async for e in box.invoke(Call("2","all__ech",{"text":"hi"},box.caller))])
    print([e async for e in box.invoke(Call("3","all__echo",{"txt":"hi"},box.caller))])
    print([e async for e in box.invoke(Call("4","all__crash",{},box.caller))])
    url = await box.serve()
    import httpx2
    async with httpx2.AsyncClient() as c:
        r = await c.post(url+"/v1/tools/all__echo/calls", json={"arguments":{"text":"x"}}); print(r.status_code, r.text)
        r = await c.get(url+"/v1/tools?q=adds numbers"); print(r.status_code, r.text[:300])
        r = await c.get(url+"/openapi.json"); print(r.status_code, list(r.json()["paths"]))
    from mcp import Client
    for mode in ("auto","legacy"):
        async with Client(url+"/mcp/all", mode=mode) as c:
            print(c.protocol_version, len((await c.list_tools()).tools), await c.call_tool("all__echo",{"text":"hello"}))
