// A stand-in for the AWS SDK for JavaScript, which isn't a package of this project: a command's input is the body of
// the call in AWS's JSON protocol, and that is all that these clients send. The signature is missing.
const client = (target) =>
  class {
    async send({ name, input }) {
      const response = await fetch(process.env.AWS_ENDPOINT_URL, {
        method: "POST",
        headers: {
          "Content-Type": "application/x-amz-json-1.1",
          "X-Amz-Target": `${target}.${name}`,
          Authorization: `AWS4-HMAC-SHA256 Credential=${process.env.AWS_ACCESS_KEY_ID}/20260101/${process.env.AWS_REGION}/x/aws4_request`,
        },
        body: JSON.stringify(input),
      });
      const answer = await response.json();
      if (!response.ok) throw new Error(JSON.stringify(answer));
      return answer;
    }
  };
const command = (name) =>
  class {
    constructor(input) {
      Object.assign(this, { name, input });
    }
  };

export const EventBridgeClient = client("AWSEvents");
export const PutEventsCommand = command("PutEvents");
export const SQSClient = client("AmazonSQS");
export const SendMessageCommand = command("SendMessage");
